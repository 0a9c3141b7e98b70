"""Trainings on streams: Pipe mode from manifest to bundle, bad items, several processes."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import segwright
from segwright.bundle import read_description
from segwright.data.channels import Source
from segwright.data.pipe_server import serve_pipes
from segwright.errors import DataError, UserError
from segwright.training.run import Training
from segwright.training.train_step import TrainState
from tests.conftest import Draw
from tests.helpers.files import write_manifest
from tests.helpers.trainings import KilledError, records, settings, train_in_two

Manifests = tuple[Path, Path]


@pytest.fixture
def manifests(channels_folder: Draw, tmp_path: Path) -> Manifests:
    """Manifests of ten training pairs and three validation pairs."""
    data = channels_folder(train=10)
    made = []
    for split in ("train", "validation"):
        pairs = Source(data / split, data / f"{split}_annotation").pairing().pairs
        lines: list[dict[str, object]] = [{"source-ref": p.image.name, "label-ref": p.mask.name} for p in pairs]
        made.append(write_manifest(tmp_path / f"{split}.manifest", lines))
    return made[0], made[1]


@contextmanager
def served(manifests: Manifests, folder: Path, passes: int) -> Iterator[segwright.Channels]:
    train, validation = manifests
    server = threading.Thread(
        target=serve_pipes,
        args=({"train": train, "validation": validation}, folder),
        kwargs={"passes": passes},
        daemon=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    server.start()
    yield segwright.Channels.locate(folder, input_mode="Pipe")


def train(channels: segwright.Channels, output: Path, strict: bool = False, **values: str) -> Path:
    given = {"num_classes": "3", "num_training_samples": "10", **values}
    segwright.train(channels, output, settings(**given), device="cpu", strict=strict)
    return output


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_stream_trains_and_validates_like_folders(
    manifests: Manifests, tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: str
) -> None:
    with served(manifests, tmp_path / "pipes", 2) as channels, caplog.at_level(logging.INFO, "segwright"):
        bundle = train(channels, tmp_path / "model", _workers=workers)
    assert (
        "inference_scale auto stays 1, as in training, and no temperature is fitted: a stream is not read once more"
        in caplog.text
    )
    description = read_description(bundle)
    assert description.data["train"]["complete"] is False and description.data["train"]["pairs"] is None
    assert [record["updates"] for record in records(bundle)] == [3, 6]
    manifest = segwright.Channels.locate(None, train=manifests[0], validation=manifests[1])
    scores = segwright.evaluate(bundle, manifest.validation.images, device="cpu")
    assert scores.mean_iou == pytest.approx(description.metrics["best"]["mean_iou"], abs=1e-9)


def test_a_manifest_trains_in_file_mode_like_its_folders(
    channels_folder: Draw, manifests: Manifests, tmp_path: Path
) -> None:
    channels = segwright.Channels.locate(None, train=manifests[0], validation=manifests[1])
    assert read_description(train(channels, tmp_path / "model")).data["train"]["pairs"] == 10


def test_a_wrong_number_of_samples_is_put_right_after_an_epoch(
    manifests: Manifests, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(manifests, tmp_path / "pipes", 3) as channels, caplog.at_level(logging.WARNING, "segwright"):
        bundle = train(channels, tmp_path / "model", epochs="3", num_training_samples="1000")
    assert "the stream held 10 pairs, not 1000" in caplog.text
    rates = [float(str(record["learning_rate"])) for record in records(bundle)]
    assert rates[2] < 0.2 * 0.01, "the rate falls to its end, whatever was said"


@pytest.mark.parametrize("missing", ["num_classes", "num_training_samples"])
def test_what_only_a_list_can_tell_must_be_given(manifests: Manifests, tmp_path: Path, missing: str) -> None:
    with served(manifests, tmp_path / "pipes", 1) as channels, pytest.raises(UserError, match=f"[gG]ive {missing}"):
        train(channels, tmp_path / "model", False, **{missing: ""})


def test_a_stream_does_not_repeat(manifests: Manifests, tmp_path: Path) -> None:
    with served(manifests, tmp_path / "pipes", 1) as channels, pytest.raises(UserError, match="give more epochs"):
        train(channels, tmp_path / "model", repeats="3")


def rewritten(manifest: Path, change: Callable[[list[dict[str, str]]], None]) -> Path:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    change(lines)
    return write_manifest(manifest.with_name(f"bad-{manifest.name}"), lines)


def late(path: Path, lines: list[dict[str, str]], field: str) -> None:
    """Lines enough that the last is not looked at beforehand, and refers to the given file."""
    lines[:] = lines * 8
    lines[-1] = {**lines[-1], field: str(path)}


def test_an_unreadable_item_is_skipped_and_counted_or_fatal(
    manifests: Manifests, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    bad = rewritten(manifests[0], lambda lines: late(tmp_path / "bad.jpg", lines, "source-ref"))
    with served((bad, manifests[1]), tmp_path / "pipes", 1) as channels, caplog.at_level(logging.WARNING, "segwright"):
        train(channels, tmp_path / "model", epochs="1", num_training_samples="80")
    assert "record 158" in caplog.text
    assert "train: skipped 1 pair of the stream in epoch 1: " in caplog.text
    with (
        served((bad, manifests[1]), tmp_path / "more", 1) as channels,
        pytest.raises(DataError, match="strict refuses it"),
    ):
        train(channels, tmp_path / "strict", epochs="1", num_training_samples="80", strict=True)


def test_a_class_outside_is_refused_while_it_passes(manifests: Manifests, tmp_path: Path) -> None:
    Image.new("L", (48, 40), 77).save(tmp_path / "bad.png")
    bad = rewritten(manifests[0], lambda lines: late(tmp_path / "bad.png", lines, "label-ref"))
    with served((bad, manifests[1]), tmp_path / "pipes", 1) as channels, pytest.raises(DataError) as error:
        train(channels, tmp_path / "model", epochs="1", num_training_samples="80")
    message = str(error.value)
    assert "with num_classes 3 the classes are 0 to 2" in message and "record 159" in message
    assert "has 77 in 1,920 pixels" in message


def test_class_weights_need_all_masks(manifests: Manifests, tmp_path: Path) -> None:
    with (
        served(manifests, tmp_path / "pipes", 1) as channels,
        pytest.raises(UserError, match="which a stream does not"),
    ):
        train(channels, tmp_path / "model", class_weights="auto")


@pytest.mark.parametrize("strict", [False, True])
def test_a_bad_validation_item_is_skipped_and_counted_or_fatal(
    manifests: Manifests, tmp_path: Path, caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff not a picture")

    def change(lines: list[dict[str, str]]) -> None:
        lines.extend(lines * 30)
        late(tmp_path / "bad.jpg", lines, "source-ref")

    bad = rewritten(manifests[1], change)
    with served((manifests[0], bad), tmp_path / "pipes", 1) as channels, caplog.at_level(logging.WARNING, "segwright"):
        if strict:
            with pytest.raises(DataError, match=r"validation: .* strict refuses it"):
                train(channels, tmp_path / "model", strict=True, epochs="1")
        else:
            train(channels, tmp_path / "model", epochs="1")
            assert "validation: skipped 1 pair of the stream in epoch 1: " in caplog.text


def test_rollover_begins_the_next_pass(manifests: Manifests, tmp_path: Path) -> None:
    with served(manifests, tmp_path / "pipes", 2) as channels:
        bundle = train(channels, tmp_path / "model", recipe="sagemaker", optimizer="sgd")
    assert [record["updates"] for record in records(bundle)] == [2, 5]


def test_a_resumed_training_reads_the_stream_from_its_beginning_and_knows_its_length(
    manifests: Manifests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(resume: bool, passes: int, folder: str) -> None:
        with served(manifests, tmp_path / folder, passes) as channels:
            values = settings(epochs="3", num_classes="3", num_training_samples="1000")
            policy = segwright.CheckpointPolicy(every=1e-9, resume=resume)
            segwright.train(channels, tmp_path / "model", values, device="cpu", checkpoints=policy)

    step = TrainState.train_step

    def fatal(self: TrainState, *arguments: Any) -> Any:
        if self.updates == 7:
            raise KilledError
        return step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(TrainState, "train_step", fatal)
        attempt(False, 3, "first")
    attempt(True, 1, "second")
    last = records(tmp_path / "model")[-1]
    assert last["updates"] == 9
    assert float(str(last["learning_rate"])) < 0.2 * 0.01, "the schedule follows the ten pairs, not the thousand"


def test_time_ends_a_training_in_the_middle_of_a_pass(
    manifests: Manifests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, step = [0.0], TrainState.train_step

    def timed(self: TrainState, *arguments: Any) -> Any:
        now[0] += 1.0
        return step(self, *arguments)

    monkeypatch.setattr(TrainState, "train_step", timed)
    given = settings(num_classes="3", num_training_samples="10", validate_every="2", epochs="", minutes="0.1")
    with served(manifests, tmp_path / "pipes", 2) as channels, caplog.at_level(logging.WARNING, "segwright"):
        policy = segwright.CheckpointPolicy()
        Training(channels, tmp_path / "model", given, policy, device="cpu", clock=lambda: now[0]).run()
    assert [record["updates"] for record in records(tmp_path / "model")] == [3, 4]
    assert "validation" in records(tmp_path / "model")[-1] and "the stream held" not in caplog.text


def test_two_processes_share_one_stream(manifests: Manifests, tmp_path: Path) -> None:
    with served(manifests, tmp_path / "pipes", 2):
        ended = train_in_two(tmp_path, "--epochs", "2", "--num-training-samples", "10")
    assert [status for status, _ in ended] == [0, 0], ended
    assert [record["updates"] for record in records(tmp_path / "model")] == [4, 8]
    assert not any("Traceback" in output for _, output in ended)


def test_a_bad_class_in_one_process_ends_both_in_one_sentence(manifests: Manifests, tmp_path: Path) -> None:
    Image.new("L", (48, 40), 77).save(tmp_path / "bad.png")
    bad = rewritten(manifests[0], lambda lines: late(tmp_path / "bad.png", lines, "label-ref"))
    with served((bad, manifests[1]), tmp_path / "pipes", 1):
        ended = train_in_two(tmp_path, "--epochs", "1", "--num-training-samples", "80")
    assert all(status for status, _ in ended)
    output = "".join(text for _, text in ended)
    assert output.count("error: train: with num_classes 3 the classes are 0 to 2") == 1
    assert "Traceback" not in output and "[rank" not in output
