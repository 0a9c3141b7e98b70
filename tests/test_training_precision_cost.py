"""At its end a training measures what bfloat16 costs, in little time, and keeps that in the bundle."""

import itertools
import logging
from pathlib import Path

import pytest
import torch

import segwright
from segwright.bundle import PrecisionCost, read_description
from segwright.training import precision_cost
from segwright.training.measurements import TimeLimit
from segwright.training.precision_cost import can_compare, seconds_to_compare
from tests.conftest import Draw
from tests.helpers.trainings import train


@pytest.fixture(autouse=True)
def computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.training.inference_settings.can_compare", lambda _device: True)


@pytest.mark.parametrize("computes", [True, False])
def test_what_emulates_bfloat16_compares_nothing(monkeypatch: pytest.MonkeyPatch, computes: bool) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": computes})
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: computes or including_emulation)
    assert can_compare(torch.device("cpu")) == can_compare(torch.device("cuda")) == computes
    assert not can_compare(torch.device("mps"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_bundle_knows_what_bfloat16_costs(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture, precision: str
) -> None:
    data = channels_folder(validation=6)
    with caplog.at_level(logging.INFO, "segwright"):
        bundle = train(data, tmp_path / "model", epochs="1", precision_dtype=precision, inference_scale="1")
    cost = read_description(bundle).precisions["bfloat16"]
    assert cost.images == 6
    folders = (data / "validation", data / "validation_annotation")
    exact, rounded = (
        segwright.evaluate(bundle, *folders, device="cpu", precision=name) for name in ("float32", "bfloat16")
    )
    assert cost.fall == pytest.approx(100 * (exact.mean_iou_present - rounded.mean_iou_present), abs=1e-9)
    assert (
        f"mean IoU in bfloat16 {rounded.mean_iou_present:.4f}, in float32 {exact.mean_iou_present:.4f}" in caplog.text
    )


def test_weights_are_those_of_a_training_without_the_comparison(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = channels_folder(validation=6)
    compared = train(data, tmp_path / "compared")
    monkeypatch.setattr("segwright.training.inference_settings.compare_precisions", lambda *_: {})
    plain = train(data, tmp_path / "plain")
    assert read_description(compared).precisions and not read_description(plain).precisions
    for name in ("model", "last"):
        files = [(bundle / f"{name}.safetensors").read_bytes() for bundle in (compared, plain)]
        assert files[0] == files[1]


@pytest.mark.parametrize(("images", "recipe"), [(4, "best"), (5, "sagemaker")])
def test_few_images_and_crops_prove_nothing(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture, images: int, recipe: str
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        bundle = train(channels_folder(validation=images), tmp_path / "model", epochs="1", recipe=recipe)
    assert read_description(bundle).precisions == {}
    assert "bfloat16" not in caplog.text


def test_little_time_proves_nothing(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("segwright.training.inference_settings.seconds_to_compare", lambda *_: 0.0)
    with caplog.at_level(logging.INFO, "segwright"):
        bundle = train(channels_folder(validation=9), tmp_path / "slow", epochs="1")
    assert read_description(bundle).precisions == {}
    assert "bfloat16 is not proven for this model: only 1 validation image in 0 s could be compared" in caplog.text


def test_the_comparison_ends_in_time(channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [seconds_to_compare(minutes * 60, None) for minutes in (0.1, 10, 600)] == [5, 12, 60]
    assert [seconds_to_compare(0.0, minutes * 60) for minutes in (1, 25, 600)] == [1.2, 30, 60]
    compare, ticks = precision_cost.compare_precisions, itertools.count()

    def slow(*arguments: object) -> dict[str, PrecisionCost]:
        limit = TimeLimit(6.0, lambda: float(next(ticks)), lambda: None)
        return compare(*arguments[:-1], limit)  # type: ignore[call-arg, arg-type]

    monkeypatch.setattr("segwright.training.inference_settings.compare_precisions", slow)
    bundle = train(channels_folder(validation=20), tmp_path / "model", epochs="1", inference_scale="1")
    assert read_description(bundle).precisions["bfloat16"].images == 7
