"""Trainings by a clock that only their own work moves."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import segwright
from segwright.bundle import load_network, read_description
from segwright.errors import ResumeError
from segwright.training import inference_settings, validation
from segwright.training.checkpoints import CheckpointFolder
from segwright.training.reporter import ConsoleReporter, EpochResult
from segwright.training.run import Training
from segwright.training.scale_selection import Trial
from segwright.training.train_step import TrainState
from tests.conftest import Draw
from tests.helpers.trainings import killed_at, records, settings

SECONDS_AN_UPDATE, SECONDS_AN_IMAGE = 2.0, 0.4
RESUME = segwright.CheckpointPolicy(every=1e-9, resume=True)


class Clock:
    """Seconds of work: updates and validation images take some."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, step, predict = Clock(), TrainState.train_step, segwright.evaluation.predict_pairs

    def timed_step(self: TrainState, *arguments: Any) -> Any:
        clock.now += SECONDS_AN_UPDATE
        return step(self, *arguments)

    def timed_predictions(*arguments: Any, **options: Any) -> Iterator[Any]:
        for sample in predict(*arguments, **options):
            clock.now += SECONDS_AN_IMAGE
            yield sample

    monkeypatch.setattr(TrainState, "train_step", timed_step)
    monkeypatch.setattr(validation, "predict_pairs", timed_predictions)
    return clock


def train(
    data: Path,
    output: Path,
    clock: Clock,
    policy: segwright.CheckpointPolicy = RESUME,
    reporter: ConsoleReporter | None = None,
    **values: object,
) -> list[dict[str, Any]]:
    """Train, with the recipe's choice when to validate; return the lines of metrics."""
    texts = {name: str(value) for name, value in values.items()}
    given = settings(**{"crop_size": "24", "repeats": "1", "epochs": "", "validate_every": "", **texts})
    channels = segwright.Channels.locate(data)
    Training(channels, output, given, policy, device="cpu", clock=clock, reporter=reporter).run()
    return records(output)


def validated(lines: list[dict[str, Any]]) -> list[int]:
    return [line["epoch"] for line in lines if "validation" in line]


def test_a_minute_ends_in_time_with_a_validated_model(
    channels_folder: Draw, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        lines = train(channels_folder(train=9), tmp_path / "model", clock, minutes=1.0)
    assert 57 <= clock.now <= 63
    assert lines[-1]["updates"] in (27, 28, 29) and lines[-1]["learning_rate"] < 0.1 * 0.01
    assert validated(lines)[-1] == len(lines) and len(validated(lines)) < 5
    description, _ = load_network(tmp_path / "model")
    assert description.metrics["last"]["epoch"] == len(lines) and description.finished
    assert "1 min in epochs of 9 pairs in 3 updates" in caplog.text
    assert "about 28 updates at 2.0 s each fit into 1 min, validating every 3 epochs" in caplog.text


def test_time_is_kept_to_try_scales_and_ends_that_too(
    channels_folder: Draw, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []

    def select(_score: object, base: float, at_base: Trial, **options: Any) -> tuple[float, dict[float, Trial]]:
        left.append(options["deadline"] - options["clock"]())
        return base, {base: at_base}

    monkeypatch.setattr(inference_settings, "select_scale", select)
    train(channels_folder(validation=5), tmp_path / "few", clock, minutes=2.0)
    assert 8 < left[0] < 12, "four validations of two seconds"


def test_time_ends_a_training_in_the_middle_of_an_epoch(channels_folder: Draw, tmp_path: Path, clock: Clock) -> None:
    (line,) = train(channels_folder(train=80), tmp_path / "model", clock, minutes=0.6)
    assert 0.95 * 36 <= clock.now <= 1.05 * 36
    assert line["updates"] == 16 and line["images"] == 64 and "validation" in line


def test_a_killed_training_goes_on_with_the_rest_of_its_time(
    channels_folder: Draw,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data, output = channels_folder(), tmp_path / "model"
    with killed_at(12, monkeypatch):
        train(data, output, clock, minutes=1.0)
    assert 24 < clock.now < 28
    clock.now = 1000.0
    with caplog.at_level(logging.INFO, "segwright"):
        lines = train(data, output, clock, minutes=1.0)
    assert "continuing after 12 updates" in caplog.text
    assert 1030 < clock.now < 1037 and lines[-1]["updates"] in (27, 28, 29)


def test_time_that_is_used_up_before_the_first_update_still_gives_a_model(
    channels_folder: Draw, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "segwright"):
        (line,) = train(channels_folder(), tmp_path / "model", clock, minutes=0.01)
    assert "minutes 0.01 leaves no time to train: 1 s have passed, and a validation takes about 1 s" in caplog.text
    assert line["updates"] == 1 and "validation" in line


def test_epochs_without_validation_leave_a_line_and_nothing_else(
    channels_folder: Draw, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    saved: list[int] = []

    class Listening(ConsoleReporter):
        def on_validated(self, result: EpochResult) -> None:
            heard.append(result.epoch + 1)

    monkeypatch.setattr(CheckpointFolder, "save", lambda _self, one: saved.append(one.facts["epoch"]))
    rare = segwright.CheckpointPolicy(every=1000)
    lines = train(channels_folder(), tmp_path / "model", clock, rare, Listening(20), epochs=7, validate_every=3)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert validated(lines) == heard == saved == [3, 6, 7]
    assert [line["updates"] for line in lines] == [2, 4, 6, 8, 10, 12, 14]
    assert read_description(tmp_path / "model").metrics["last"]["epoch"] == 7


def test_the_speed_decides_how_often_small_data_are_validated(
    channels_folder: Draw, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        lines = train(channels_folder(train=4, validation=10), tmp_path / "model", clock, epochs=50)
    assert validated(lines) == [25, 50], "four seconds each, of a hundred"
    assert "about 2 min for 50 updates at 2.0 s each, validations included, validating every 25 epochs" in caplog.text


def test_plain_lines_tell_the_time_that_the_whole_training_still_takes(
    channels_folder: Draw, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        train(channels_folder(), tmp_path / "model", clock, reporter=ConsoleReporter(5), epochs=8)
    told = [message for message in caplog.messages if " left, loss " in message]
    assert [message.partition(" left")[0] for message in told] == [
        "epoch 3/8: 4/8, 25 s",
        "epoch 5/8: 8/8, 15 s",
        "epoch 8/8: 4/8, 5 s",
    ]


def test_checkpoints_of_a_finished_training_are_removed_and_it_stays_finished(
    channels_folder: Draw, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    data, output = channels_folder(), tmp_path / "model"
    train(data, output, clock, epochs=1)
    assert not (tmp_path / "model.checkpoints").exists()
    before = (output / "bundle.json").stat().st_mtime_ns
    with caplog.at_level(logging.INFO, "segwright"):
        train(data, output, clock, epochs=1)
        train(data, output, clock, segwright.CheckpointPolicy(resume=True, overwrite=True), epochs=1)
    assert caplog.text.count(f"{output}: the training ended after epoch 1: nothing is left to train") == 2
    assert (output / "bundle.json").stat().st_mtime_ns == before
    for name, longer in (("epochs 2", {"epochs": 2}), ("minutes 1", {"minutes": 1.0})):
        with pytest.raises(ResumeError, match=f"Cannot resume with {name}: .* checkpoints are removed"):
            train(data, output, clock, **longer)
    with pytest.raises(ResumeError, match=r"seed changed from 0 to 7, and the training of .* has ended"):
        train(data, output, clock, epochs=1, seed=7)


def test_checkpoints_in_a_folder_that_was_named_stay(channels_folder: Draw, tmp_path: Path, clock: Clock) -> None:
    data, output = channels_folder(), tmp_path / "model"
    kept = segwright.CheckpointPolicy(tmp_path / "kept", resume=True)
    train(data, output, clock, kept, epochs=1)
    assert list((tmp_path / "kept").glob("checkpoint-*"))
    assert len(train(data, output, clock, kept, epochs=2)) == 2, "and the training can go on"


def test_a_training_that_fails_says_so_while_it_runs_and_at_its_end(
    channels_folder: Draw, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "segwright"):
        train(channels_folder(), tmp_path / "model", clock, epochs=6, validate_every=1, learning_rate=1e-9)
    assert "validation: there are only 3 images: a score says little" in caplog.text
    *_, last = caplog.messages
    assert re.match(r"validation mean IoU 0\.\d{4} in epoch \d, but class .* (was|were) never predicted", last)
    assert re.search(r"; 0\.\d{4} is what class \d alone scores", last)
    assert last.endswith(f"the model is in {tmp_path / 'model'}")
    earlier = [message for message in caplog.messages if re.match(r"(class 1, )?class 2 (was|were) never", message)]
    assert len(earlier) == 1, "once"
