import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import segwright
from segwright.bundle import load_network, read_description
from segwright.evaluation import Scores
from segwright.stopping import StopRequest
from segwright.training.checkpoints import CheckpointPolicy
from segwright.training.reporter import AdvanceImages, Reporter
from segwright.training.run import Training
from segwright.training.scale_selection import Trial, describe_selection, select_scale
from segwright.training.trainer import Trainer
from tests.conftest import Draw
from tests.helpers.trainings import records, settings, train


class Scorer:
    """Scores scales as a table says, which has to hold all that are asked for, in the order in which they are."""

    def __init__(self, table: dict[float, float]) -> None:
        self.table, self.asked = table, list[float]()

    def __call__(self, scale: float) -> Scores:
        self.asked.append(scale)
        return Scores(self.table[scale], 0.9, 0.9, 0.9, ())


@pytest.mark.parametrize(
    ("base", "at_base", "table", "chosen"),
    [
        (1, 0.6, {1.25: 0.61, 1.5: 0.62, 2: 0.63}, 2),
        (1, 0.6, {1.25: 0.61, 1.5: 0.605}, 1.25),
        (1, 0.6, {1.25: 0.6005, 1.5: 0.6}, 1),  # gains below 0.1 points are not worth it
        (1, 0.6, {1.25: 0.61, 1.5: 0.6105, 2: 0.6}, 1.25),
        (1, 0.6, {1.25: 0.6, 0.75: 0.59}, 1),
        (1, 0.6, {1.25: 0.5, 0.75: 0.62, 0.5: 0.61}, 0.75),
        (1, 0.6, {1.25: 0.5, 0.75: 0.5995, 0.5: 0.4}, 0.75),  # as good as, and cheaper
        (1, 0.6, {1.25: 0.5, 0.75: 0.5995, 0.5: 0.5992}, 0.5),
        (0.5, 0.6, {0.625: 0.61, 0.75: 0.4}, 0.625),
        (0.25, 0.6, {0.3125: 0.5}, 0.25),  # smaller ones are not allowed
        (4, 0.6, {3: 0.7, 2: 0.6}, 3),
    ],
)
def test_scales_are_tried_up_while_they_improve_else_down(
    base: float, at_base: float, table: dict[float, float], chosen: float
) -> None:
    scorer = Scorer(table)
    found, trials = select_scale(scorer, base, Trial({"mean_iou": at_base}, 1.0))
    assert found == chosen
    assert scorer.asked == list(table)
    assert {scale: trial.mean_iou for scale, trial in trials.items()} == {base: at_base, **table}


@pytest.mark.parametrize(
    ("seconds", "left", "asked"),
    [
        (10, 5, []),
        (10, 9, [0.75]),  # 5.6 s
        (10, 16, [1.25]),
        (10, 39, [1.25, 1.5]),
        (0.1, 60, [1.25, 1.5, 2]),
        (None, 60, [1.25, 1.5, 2]),
        (None, -1, []),
    ],
)
def test_no_trial_begins_that_would_end_too_late(seconds: float | None, left: float, asked: list[float]) -> None:
    now = 100.0

    class Slow(Scorer):
        def __call__(self, scale: float) -> Scores:
            nonlocal now
            now += (seconds or 0.1) * scale**2
            return super().__call__(scale)

    scorer = Slow({1.25: 0.7, 1.5: 0.8, 2: 0.9, 0.75: 0.4})
    chosen, trials = select_scale(scorer, 1, Trial({"mean_iou": 0.5}, seconds), deadline=now + left, clock=lambda: now)
    assert scorer.asked == asked
    assert trials[chosen].mean_iou == max([0.5, *(scorer.table[scale] for scale in scorer.asked)])


def test_a_scale_without_memory_is_none(caplog: pytest.LogCaptureFixture) -> None:
    def score(scale: float) -> Scores:
        if scale > 1.3:
            raise torch.OutOfMemoryError
        return Scores(0.7, 0.7, 0.7, 0.7, ())

    with caplog.at_level(logging.INFO, "segwright"):
        assert select_scale(score, 1, Trial({"mean_iou": 0.5}, None))[0] == 1.25
    assert "inference scale 1.5 is not tried, but the model is whole: OutOfMemoryError" in caplog.text


def test_the_line_says_what_was_scored_and_what_it_costs() -> None:
    trials = {
        1: Trial({"mean_iou": 0.628}, 2.0),
        1.25: Trial({"mean_iou": 0.64}, 3.0),
        1.5: Trial({"mean_iou": 0.645}, 4.6),
    }
    assert describe_selection(1.5, 1, trials) == (
        "inference scale 1.5: mean IoU 0.6450 against 0.6280 at 1 (0.6400 at 1.25); prediction takes about 2.2 times "
        "as long"
    )
    assert describe_selection(1, 1, {1: trials[1], 1.25: Trial({"mean_iou": 0.6}, 3)}) == (
        "inference scale 1, as in training: mean IoU 0.6280 (0.6000 at 1.25)"
    )
    unknown = {1: Trial({"mean_iou": 0.6}, None), 0.5: Trial({"mean_iou": 0.7}, 1)}
    assert describe_selection(0.5, 1, unknown).endswith("about 0.2 times as long")


class StopsAt(Reporter):
    """Requests a stop when a scale is tried."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    @contextmanager
    def trying_scale(self, scale: float, images: int) -> Iterator[AdvanceImages]:
        self.stop.made = True
        yield lambda _images: None


def test_a_training_ends_with_the_best_scale_also_when_it_was_stopped_before(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("segwright.training.inference_settings.choose_factor", lambda *_: 0.0)
    data, bundle, stop = channels_folder(validation=5), tmp_path / "model", StopRequest()
    channels, given, score = segwright.Channels.locate(data), settings(epochs="3"), Trainer._score

    def declining(self: Trainer, *arguments: Any) -> tuple[Scores, int]:
        scores, images = score(self, *arguments)
        return replace(scores, mean_iou=scores.mean_iou - self.progress.epoch), images  # the first epoch is the best

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_score", declining)
        Training(channels, bundle, given, CheckpointPolicy(), device="cpu", stop=stop, reporter=StopsAt(stop)).run()
    stopped = read_description(bundle)
    assert stopped.inference_scale == 1 and stopped.metrics["best"] and len(records(bundle)) == 3
    first, last = (load_network(bundle, f"{name}.safetensors")[1].state_dict() for name in ("model", "last"))
    assert any(not torch.equal(value, first[name]) for name, value in last.items())

    with caplog.at_level(logging.INFO, "segwright"):
        segwright.train(channels, bundle, given, device="cpu", checkpoints=CheckpointPolicy(resume=True))
    assert "inference scale" in caplog.text and "mean IoU" in caplog.text
    description = read_description(bundle)
    best, by_scale = description.metrics["best"], description.metrics["best"]["mean_iou_by_scale"]
    assert by_scale["1"] == stopped.metrics["best"]["mean_iou"] and len(by_scale) > 2
    assert best["epoch"] == stopped.metrics["best"]["epoch"]
    assert best["mean_iou"] == by_scale[f"{description.inference_scale:g}"] > max(by_scale.values()) - 0.001
    for name, state in (("model", first), ("last", last)):
        ends = load_network(bundle, f"{name}.safetensors")[1].state_dict()
        assert all(torch.equal(value, ends[name]) for name, value in state.items())
    for scale in (None, *map(float, by_scale)):
        scores = segwright.evaluate(
            bundle, data / "validation", data / "validation_annotation", device="cpu", scale=scale
        )
        assert scores.mean_iou == pytest.approx(by_scale[f"{scale or description.inference_scale:g}"], abs=1e-9)
    assert f"best validation mean IoU {best['mean_iou']:.4f}" in caplog.text


def test_more_epochs_are_compared_at_the_scale_of_the_training(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segwright.training.inference_settings.choose_factor", lambda *_: 0.0)
    data, bundle = channels_folder(validation=5), tmp_path / "model"
    monkeypatch.setattr(
        "segwright.training.inference_settings.select_scale",
        lambda _score, base, at_base, **_: (2.0, {base: at_base, 2.0: Trial({**at_base.scores, "mean_iou": 2.0}, 1.0)}),
    )
    channels, kept = segwright.Channels.locate(data), CheckpointPolicy(tmp_path / "kept", resume=True)
    segwright.train(channels, bundle, settings(epochs="1"), device="cpu", checkpoints=kept)
    first = read_description(bundle)
    assert (first.inference_scale, first.metrics["best"]["mean_iou"]) == (2, 2.0)
    segwright.train(channels, bundle, settings(epochs="4"), device="cpu", checkpoints=kept)
    again = read_description(bundle)
    assert again.metrics["best"]["epoch"] > 1, "2.0 of the first epoch must not stand in the way"
    assert again.metrics["best"]["mean_iou_by_scale"]["1"] == max(
        entry["validation"]["mean_iou"]  # type: ignore[index]
        for entry in records(bundle)
    )


def test_a_number_is_the_scale_of_validation_and_of_the_bundle(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = channels_folder()
    with caplog.at_level(logging.INFO, "segwright"):
        description = read_description(train(data, tmp_path / "model", inference_scale="1.5", epochs="1"))
    assert description.inference_scale == 1.5
    assert "whole images at 1.5 times their size" in caplog.text
    scores = segwright.evaluate(tmp_path / "model", data / "validation", data / "validation_annotation", device="cpu")
    assert scores.mean_iou == pytest.approx(description.metrics["best"]["mean_iou"], abs=1e-9)
    with caplog.at_level(logging.INFO, "segwright"):
        assert read_description(train(data, tmp_path / "few", epochs="1")).inference_scale == 1
    assert (
        "inference_scale auto stays 1, as in training, and no temperature is fitted: there are only 3 validation images"
        in caplog.text
    )
