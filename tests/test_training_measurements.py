"""Measurements at the end of a training never undo it: one that fails is left out, in one process and in two."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from segwright.bundle import load_network
from segwright.cli import main
from segwright.distributed import ALONE
from segwright.errors import DataError
from segwright.hyperparameters import Hyperparameters
from segwright.networks import SegmentationNetwork
from segwright.stopping import StopRequested
from segwright.training.measurements import TimeLimit, best_effort, why_not_measured
from segwright.training.train_step import TrainState
from segwright.training.validation import validation_predictions
from tests.conftest import TINY_BACKBONE, Draw, restored_logging
from tests.helpers.processes import end_both, start_two
from tests.helpers.trainings import train

FLAGS = (
    *("--backbone", TINY_BACKBONE, "--no-use-pretrained-model", "--device", "cpu", "--epochs", "1"),
    *("--crop-size", "32", "--base-size", "48", "--mini-batch-size", "4", "--workers", "0"),
)
LEFT_OUT = (
    *("bfloat16 is not proven for this model", "rare classes are not favoured"),
    *("inference scale 1.25 is not tried", "no temperature is fitted"),
)


def break_predictions(patch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let all predictions fail but those of the training's own network."""

    def broken(network: SegmentationNetwork, scale: float, state: TrainState, *others: Any, **options: Any) -> Any:
        if network is state.network:
            return validation_predictions(network, scale, state, *others, **options)
        raise error

    def broken_logits(*_: Any, **__: Any) -> Any:
        raise error

    patch.setattr("segwright.training.inference_settings.can_compare", lambda _device: True)
    patch.setattr("segwright.training.precision_cost.validation_predictions", broken)
    patch.setattr("segwright.training.trainer.validation_predictions", broken)
    patch.setattr("segwright.training.class_bias.logit_blocks", broken_logits)
    patch.setattr("segwright.training.temperature.logit_blocks", broken_logits)


def break_second() -> None:
    """In two processes: let predictions fail in the second one only."""
    patch = pytest.MonkeyPatch()
    patch.setattr("segwright.training.inference_settings.can_compare", lambda _device: True)
    if os.environ["RANK"] == "1":
        break_predictions(patch, RuntimeError("of the second"))


def assert_whole(bundle: Path) -> None:
    """A finished training's bundle without what is measured."""
    description, _ = load_network(bundle)
    assert description.finished and description.metrics["best"]["mean_iou"] > 0
    assert (description.precisions, description.temperature, description.inference_scale) == ({}, None, 1.0)


def test_few_images_crops_and_streams_measure_nothing() -> None:
    assert why_not_measured(Hyperparameters(), 5) is None
    assert why_not_measured(Hyperparameters(), 4) == "there are only 4 validation images"
    assert "crops of 256 pixels" in str(why_not_measured(Hyperparameters(validation_mini_batch_size=2), 100))
    assert "stream" in str(why_not_measured(Hyperparameters(), None))


def test_a_request_to_stop_ends_a_measurement_and_is_no_failure() -> None:
    def stop() -> None:
        raise StopRequested

    assert list(TimeLimit(9.0, lambda: 0.0, stop).take([1, 2])) == [1]
    with pytest.raises(StopRequested):
        best_effort(stop, "nothing is measured", ALONE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("broken\nin pieces"), "RuntimeError: broken"),
        (torch.OutOfMemoryError(), "OutOfMemoryError"),
        (DataError("a.jpg is gone"), "DataError: a.jpg is gone"),
    ],
)
def test_measurements_that_fail_are_left_out(
    channels_folder: Draw,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    reason: str,
) -> None:
    break_predictions(monkeypatch, error)
    data = channels_folder(validation=5)
    with restored_logging():
        status = main(["train", str(data), "--output", str(tmp_path / "model"), *FLAGS])
    messages = capsys.readouterr().err
    assert status == 0, messages
    for left_out in LEFT_OUT:
        assert messages.count(f"{left_out}, but the model is whole: {reason}\n") == 1, messages
    assert_whole(tmp_path / "model")


def test_weights_that_do_not_fit_into_memory_twice_are_not_measured(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def too_large(_network: object) -> None:
        raise torch.OutOfMemoryError("2 GiB")

    monkeypatch.setattr("segwright.training.inference_settings.deepcopy", too_large)
    with caplog.at_level(logging.WARNING, "segwright"):
        bundle = train(channels_folder(validation=5), tmp_path / "model", epochs="1")
    assert "nothing is measured with the best weights, but the model is whole: OutOfMemoryError: 2 GiB" in caplog.text
    assert_whole(bundle)


def test_of_two_processes_none_waits_for_one_that_fails(channels_folder: Draw, tmp_path: Path) -> None:
    given = ("train", channels_folder(validation=6), "--output", "model", *FLAGS)
    (first, messages), (second, others) = end_both(start_two(*given, cwd=tmp_path, before=break_second))
    assert (first, second) == (0, 0), messages + others
    for left_out in LEFT_OUT:
        assert f"{left_out}, but the model is whole: RuntimeError: of the second\n" in messages
    assert_whole(tmp_path / "model")
