"""A training that was killed and resumed ends with the bits of one that was not."""

import json
import logging
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import segwright
from segwright.bundle import BEST_WEIGHTS, LAST_WEIGHTS, read_description
from segwright.errors import OutputExistsError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.stopping import StopRequest
from segwright.training.checkpoint_state import EarlyStopping
from segwright.training.reporter import Reporter
from segwright.training.run import Training
from segwright.training.train_step import EpochSums, TrainState
from segwright.training.trainer import Trainer
from tests.conftest import Draw
from tests.helpers.processes import Process
from tests.helpers.trainings import killed_at, records, settings

RESUME = segwright.CheckpointPolicy(resume=True)


def train(
    data: Path, output: Path, values: Mapping[str, str] = {}, *, resume: bool = False, overwrite: bool = False
) -> Path:
    segwright.train(
        segwright.Channels.locate(data),
        output,
        settings(**{"epochs": "3", "crop_size": "24", **values}),
        device="cpu",
        checkpoints=segwright.CheckpointPolicy(
            output.with_name(f"{output.name}.checkpoints"), every=1e-9, resume=resume, overwrite=overwrite
        ),
    )
    return output


def train_killed_at(
    update: int, monkeypatch: pytest.MonkeyPatch, data: Path, output: Path, values: Mapping[str, str] = {}
) -> None:
    """Train until `update` updates are made."""
    with killed_at(update, monkeypatch):
        train(data, output, values)


def assert_same_end(one: Path, other: Path) -> None:
    for name in (BEST_WEIGHTS, LAST_WEIGHTS):
        expected, got = load_file(one / name), load_file(other / name)
        assert expected.keys() == got.keys()
        assert all(torch.equal(value, got[key]) for key, value in expected.items()), name
    timed = ("seconds", "images_per_second")
    for left, right in zip(records(one), records(other), strict=True):
        assert {**left, **dict.fromkeys(timed)} == {**right, **dict.fromkeys(timed)}
    assert read_description(one).metrics == read_description(other).metrics


@pytest.mark.parametrize(
    ("update", "values"),
    [
        (1, {}),
        (2, {"_workers": "2"}),
        (3, {"optimizer": "sgd"}),
        (4, {"recipe": "sagemaker", "mini_batch_size": "3", "optimizer": "sgd"}),
        (5, {"optimizer": "rmsprop", "early_stopping": "True"}),
        (5, {"precision_dtype": "bfloat16", "optimizer": "adamw", "backbone": "test_efficientnet"}),
    ],
)
def test_the_same_bits(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: int, values: dict[str, str]
) -> None:
    data = channels_folder()
    whole = train(data, tmp_path / "whole", values)
    train_killed_at(update, monkeypatch, data, tmp_path / "cut", values)
    torch.randn(5)  # whatever else the process has drawn in between
    assert_same_end(whole, train(data, tmp_path / "cut", values, resume=True))


def test_a_finished_training_has_nothing_left_to_do_but_its_bundle(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = channels_folder()
    whole = train(data, tmp_path / "whole")
    (tmp_path / "whole.checkpoints").rename(tmp_path / "lost.checkpoints")
    with caplog.at_level(logging.INFO, "segwright"):
        assert_same_end(whole, train(data, tmp_path / "lost", resume=True))
    assert "nothing is left to train" in caplog.text


def test_without_a_checkpoint_it_starts_anew(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        train(channels_folder(), tmp_path / "model", {"epochs": "1"}, resume=True)
    assert "no usable checkpoint: training starts from the beginning" in caplog.text


def test_checkpoints_of_an_earlier_training_are_refused_before_anything_is_read(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, output = channels_folder(), tmp_path / "model"
    train_killed_at(1, monkeypatch, data, output)
    with pytest.raises(OutputExistsError, match="resume"):
        train(data, output)
    train(data, output, {"epochs": "1"}, overwrite=True)
    assert len(records(output)) == 1


def test_what_else_lies_in_the_output_stays(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, output = channels_folder(), tmp_path / "model"
    train_killed_at(3, monkeypatch, data, output)
    (output / "notes.txt").write_text("mine")
    train(data, output, resume=True)
    assert (output / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "change",
    [
        lambda description: description["data"]["train"].update(fingerprint="another"),
        lambda description: description["data"]["validation"].update(fingerprint="another"),
        lambda description: description["hyperparameters"].update(seed=7),
        lambda description: description["network"].update(algorithm="psp"),
        lambda description: description["label_maps"].update(train={"scale": 2}),
        lambda description: description.update(data={"train": {}, "validation": {}}),
        lambda description: description.update(data={}),
    ],
)
def test_a_bundle_of_another_training_is_not_replaced(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]
) -> None:
    data, precious = channels_folder(), tmp_path / "precious"
    train_killed_at(3, monkeypatch, data, tmp_path / "model")
    train(data, precious, {"epochs": "1"})
    description = json.loads((precious / "bundle.json").read_text())
    change(description)
    (precious / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(OutputExistsError, match="precious exists already"):
        segwright.train(
            segwright.Channels.locate(data),
            precious,
            settings(),
            checkpoints=segwright.CheckpointPolicy(tmp_path / "model.checkpoints", resume=True),
            device="cpu",
        )


def test_checkpoints_within_the_output_are_refused(channels_folder: Draw, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="within the output"):
        segwright.train(
            segwright.Channels.locate(channels_folder()),
            tmp_path / "model",
            settings(),
            checkpoints=segwright.CheckpointPolicy(tmp_path / "model" / "checkpoints"),
            device="cpu",
        )
    assert not (tmp_path / "model").exists()


def test_what_is_resumed_needs_no_model_to_start_from(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    channels = segwright.Channels.locate(channels_folder())
    first, second = tmp_path / "first", tmp_path / "second"
    kept = segwright.CheckpointPolicy(tmp_path / "kept", resume=True)
    few = segwright.Hyperparameters(epochs=2, mini_batch_size=4, crop_size=24, base_size=48, workers=0)
    segwright.train(channels, first, settings(epochs="1"), device="cpu")
    segwright.train(
        channels, second, few.model_copy(update={"epochs": 1}), start_from=first, checkpoints=kept, device="cpu"
    )
    shutil.rmtree(first)
    with caplog.at_level(logging.INFO, "segwright"):
        segwright.train(channels, second, few, checkpoints=kept, device="cpu")
        assert read_description(second).started_from == str(first)
        segwright.train(channels, second, few, start_from=tmp_path / "other", checkpoints=kept, device="cpu")
    assert "other is not used: the resumed training started from" in caplog.text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"algorithm": "psp"}, "algorithm changed from deeplab to psp"),
        ({"optimizer": "sgd"}, "optimizer changed from adam to sgd"),
        ({"seed": "7"}, "seed changed from 0 to 7"),
        ({"epochs": "1"}, "epochs is 1, but epoch 2 has begun; it takes at least 2"),
        ({"mini_batch_size": "2"}, "mini_batch_size changed from 4 to 2"),
        ({"apply_exif_orientation": "True"}, "apply_exif_orientation changed from False to True"),
        ({"bands": "4"}, "bands changed from 3 to 4"),
    ],
)
def test_another_training_is_refused(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], words: str
) -> None:
    data, output = channels_folder(), tmp_path / "model"
    train_killed_at(3, monkeypatch, data, output)
    with pytest.raises(UserError, match=words):
        train(data, output, values, resume=True)


def test_other_data_are_refused_and_other_circumstances_warned_about(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data, output = channels_folder(), tmp_path / "model"
    train_killed_at(3, monkeypatch, data, output)
    threads = torch.get_num_threads()
    monkeypatch.setattr("segwright.devices.available_cores", lambda: 64)  # Fewer would limit the threads.
    torch.set_num_threads(threads + 1)
    try:
        with caplog.at_level(logging.WARNING, "segwright"):
            train(data, output, {"epochs": "2", "_workers": "1"}, resume=True)
    finally:
        torch.set_num_threads(threads)
    assert f"threads {threads} -> {threads + 1}" in caplog.text and "epochs 3 -> 2" in caplog.text
    assert all("workers" not in record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    next((data / "train").iterdir()).unlink()
    with pytest.raises(UserError, match=r"train data changed\. Restore it"):
        train(data, output, resume=True)


def test_early_stopping_counts_on(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    values = {
        **{"epochs": "9", "learning_rate": "1e-12", "early_stopping": "True", "early_stopping_min_epochs": "1"},
        **{"early_stopping_patience": "3", "early_stopping_tolerance": "1.0"},
    }
    data = channels_folder()
    whole = train(data, tmp_path / "whole", values)
    assert len(records(whole)) < 9
    train_killed_at(5, monkeypatch, data, tmp_path / "cut", values)
    assert_same_end(whole, train(data, tmp_path / "cut", values, resume=True))
    with caplog.at_level(logging.INFO, "segwright"):
        train(data, tmp_path / "cut", values, resume=True)
    assert "nothing is left to train" in caplog.text


def test_an_interrupted_training_goes_on(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = channels_folder()
    whole = train(data, tmp_path / "whole")
    step = TrainState.train_step

    def interrupted(self: TrainState, *arguments: Any) -> Any:
        if self.updates == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainState, "train_step", interrupted)
        train(data, tmp_path / "cut")
    assert_same_end(whole, train(data, tmp_path / "cut", resume=True))


def test_the_optimizers_tensors_lie_in_memory_as_they_did(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, step = channels_folder(), TrainState.train_step
    layouts: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    train_killed_at(5, monkeypatch, data, tmp_path / "model")

    def noted(self: TrainState, *arguments: Any) -> Any:
        for parameter, tensors in self.optimizer.state.items():
            layouts.update((each.stride(), parameter.stride()) for key, each in tensors.items() if key != "step")
        return step(self, *arguments)

    monkeypatch.setattr(TrainState, "train_step", noted)
    train(data, tmp_path / "model", resume=True)
    assert layouts and all(one == other for one, other in layouts)


def test_what_an_epoch_has_brought_is_told_once_wherever_it_was_interrupted(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its last step, before its training was told, and in its validation, thereafter."""
    data, told = segwright.Channels.locate(channels_folder()), []

    class Recording(Reporter):
        def on_epoch_trained(self, epoch: int, sums: EpochSums) -> None:
            told.append((epoch, sums.batches))

    def run(stop: StopRequest) -> None:
        few = settings(epochs="2", crop_size="24")
        Training(data, tmp_path / "model", few, RESUME, device="cpu", stop=stop, reporter=Recording()).run()

    def interrupted(owner: Any, name: str) -> None:
        stop, whole = StopRequest(), getattr(owner, name)

        def interrupting(*arguments: Any, **options: Any) -> Any:
            stop.made = name == "_validate" or arguments[0].updates == 1
            return whole(*arguments, **options)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, name, interrupting)
            run(stop)

    interrupted(TrainState, "train_step")
    assert told == []
    interrupted(Trainer, "_validate")
    assert told == [(0, 2)]
    run(StopRequest())
    assert told == [(0, 2), (1, 2)]


def test_three_kills(channels_folder: Draw, tmp_path: Path) -> None:
    """The real command, killed three times at random moments after it has begun to write, also by its loaders' side."""
    data = channels_folder()
    flags = [
        *("--backbone", "test_resnet", "--no-use-pretrained-model", "--device", "cpu", "--crop-size", "24"),
        *("--base-size", "48", "--mini-batch-size", "2", "--workers", "1", "--epochs", "12"),
    ]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    status, output = Process("train", data, "--output", whole, *flags, cwd=tmp_path).end()
    assert status == 0, output
    often: list[str | Path] = ["train", data, "--output", cut, "--resume", "--checkpoint-every", "0.001", *flags]
    chance = random.Random(0)
    for _ in range(3):
        before = newest(cut)
        process = Process(*often, cwd=tmp_path)
        deadline = time.monotonic() + 100
        while newest(cut) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.random() * 0.5)
        process.kill()
        process.end()
    status, output = Process(*often, cwd=tmp_path).end()
    assert status == 0, output
    assert_same_end(whole, cut)


def newest(output: Path) -> str:
    folder = output.with_name(output.name + ".checkpoints")
    return max((file.name for file in folder.glob("checkpoint-*")), default="")


def test_checkpoint_facts_are_plain_json(channels_folder: Draw, tmp_path: Path) -> None:
    from safetensors import safe_open

    train(channels_folder(), tmp_path / "model", {"epochs": "1"})
    (first, *_) = (tmp_path / "model.checkpoints").iterdir()
    with safe_open(first, framework="pt") as content:
        facts = json.loads(content.metadata()["segwright"])
    assert facts["circumstances"].keys() == {
        "device",
        "threads",
        "precision",
        "compilation",
        "processes",
        "processor",
        "torch",
    }


def early_stopping(**values: object) -> Hyperparameters:
    return Hyperparameters.model_validate({"early_stopping": True, **values})


def epochs_until_stop(settings: Hyperparameters, scores: list[float]) -> int | None:
    counter = EarlyStopping()
    return next((epoch + 1 for epoch, score in enumerate(scores) if counter.update(settings, epoch, score)), None)


def test_stops_after_patience_epochs_without_gain() -> None:
    rule = early_stopping(early_stopping_min_epochs=1, early_stopping_patience=2)
    assert epochs_until_stop(rule, [0.1, 0.2, 0.2, 0.3, 0.3, 0.29, 0.4]) == 6


def test_waits_for_the_minimum_of_epochs() -> None:
    rule = early_stopping(early_stopping_min_epochs=5, early_stopping_patience=1)
    assert epochs_until_stop(rule, [0.5, 0.4, 0.4, 0.4, 0.4, 0.4]) == 5


def test_tolerance_is_relative_to_the_best() -> None:
    rule = early_stopping(early_stopping_min_epochs=1, early_stopping_patience=1, early_stopping_tolerance=0.1)
    assert epochs_until_stop(rule, [0.5, 0.56, 0.6]) == 3


def test_never_stops_when_not_asked() -> None:
    rule = Hyperparameters()
    assert epochs_until_stop(rule, [0.5] * 50) is None
