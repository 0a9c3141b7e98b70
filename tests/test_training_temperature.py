import logging
from pathlib import Path

import pytest
import torch
from torch import nn

import segwright
from segwright.bundle import read_description
from segwright.training.checkpoints import CheckpointPolicy
from segwright.training.temperature import fit_temperature, seconds_for_fit
from tests.conftest import Draw
from tests.helpers.trainings import settings, train


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature: float) -> None:
    torch.manual_seed(0)
    logits = 4 * torch.randn(40_000, 6)
    labels = (logits / temperature).softmax(1).multinomial(1)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_it_is_the_best_one_and_within_bounds() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(500, 4), torch.randint(4, (500,))
    logits[range(300), labels[:300]] += 3
    found = fit_temperature(logits, labels)
    losses = [float(nn.functional.cross_entropy(logits / (found * factor), labels)) for factor in (0.9, 1, 1.1)]
    assert losses[1] == min(losses)
    assert fit_temperature(logits, logits.argmax(1)) == pytest.approx(0.1)
    assert fit_temperature(logits, logits.argmin(1)) == pytest.approx(10)


def test_a_fit_takes_a_hundredth_of_the_training_within_bounds() -> None:
    assert [seconds_for_fit(elapsed) for elapsed in (1, 1500, 100_000)] == [5, 15, 60]


def test_a_training_ends_with_a_temperature_and_a_resumed_one_keeps_it(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, bundle = channels_folder(validation=5), tmp_path / "model"
    channels, kept = segwright.Channels.locate(data), CheckpointPolicy(tmp_path / "kept", resume=True)
    with caplog.at_level(logging.INFO, "segwright"):
        for _ in range(2):
            given = settings(epochs="2", inference_scale="1")
            model = segwright.train(channels, bundle, given, device="cpu", checkpoints=kept)
    assert caplog.text.count("probabilities of logits") == 1, "the second time nothing is left to fit"
    temperature = read_description(bundle).temperature
    assert temperature is not None and model.temperature == temperature and 0.1 <= temperature <= 10
    assert f"temperature {temperature:g}: probabilities of logits divided by it" in caplog.text


@pytest.mark.parametrize(
    ("values", "images", "seconds", "reason"),
    [
        ({}, 3, 5.0, "there are only 3 validation images"),
        ({}, 5, 0.0, "only 1 validation image with labels in 0 s could be predicted"),
        ({"recipe": "sagemaker"}, 5, 5.0, "validation scores crops of 32 pixels, not whole images"),
    ],
)
def test_few_images_no_time_and_crops_leave_it_out(
    channels_folder: Draw,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    values: dict[str, str],
    images: int,
    seconds: float,
    reason: str,
) -> None:
    monkeypatch.setattr("segwright.training.inference_settings.seconds_for_fit", lambda _elapsed: seconds)
    with caplog.at_level(logging.INFO, "segwright"):
        bundle = train(
            channels_folder(validation=images), tmp_path / "model", epochs="1", inference_scale="1", **values
        )
    assert read_description(bundle).temperature is None
    assert f"no temperature is fitted: {reason}" in caplog.text
