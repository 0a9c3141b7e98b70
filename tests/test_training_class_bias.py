import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import segwright
from segwright.bundle import BEST_WEIGHTS, LAST_WEIGHTS, read_description
from segwright.distributed import ALONE
from segwright.inference import Block
from segwright.training import class_bias as class_bias_module
from segwright.training import inference_settings
from segwright.training.class_bias import FACTORS, choose_factor, class_bias, seconds_to_choose
from segwright.training.measurements import TimeLimit
from tests.conftest import Draw
from tests.helpers.trainings import train


def test_the_rarer_a_class_the_more_it_is_favoured_and_absent_ones_are_bounded() -> None:
    bias = class_bias(np.array([899_000, 100_000, 1_000, 0]), 0.5)
    assert bias.tolist() == pytest.approx([0.5 * -np.log(share) for share in (0.899, 0.1, 0.001, 1e-4)])
    assert not class_bias(np.array([5, 0]), FACTORS[0]).any(), "the first factor changes nothing"


def test_the_choice_takes_a_hundredth_of_the_training_within_bounds() -> None:
    assert [seconds_to_choose(elapsed) for elapsed in (1, 1500, 100_000)] == [5, 15, 60]


def doubtful(monkeypatch: pytest.MonkeyPatch, logit: float) -> float:
    """The factor that is chosen where class 1 has a hundredth of the pixels, and class 0 leads there by `logit`."""
    mask = np.zeros((20, 20), np.uint8)
    mask[3, 4:8] = 1
    lead = torch.where(torch.from_numpy(mask) == 1, logit, 5.0)
    block = Block(slice(20), slice(20), torch.stack([lead, torch.zeros(20, 20)]))
    monkeypatch.setattr(class_bias_module, "drawn_pairs", lambda _: range(5))
    monkeypatch.setattr(class_bias_module, "read_pair", lambda *_: (None, mask))
    monkeypatch.setattr(class_bias_module, "logit_blocks", lambda *_, **__: [block])
    sides = {"label_map": None, "histogram": np.array([99, 1])}
    prepared = SimpleNamespace(
        num_classes=2,
        class_names=("a", "b"),
        pixel_format=None,
        train=SimpleNamespace(**sides),
        validation=SimpleNamespace(**sides),
    )
    state = SimpleNamespace(processes=ALONE, precision=torch.float32, device=torch.device("cpu"))
    limit = TimeLimit(9.0, lambda: 0.0, lambda: None)
    network = SimpleNamespace(eval=lambda: None)
    return choose_factor(
        cast(Any, network), 1.0, cast(Any, state), cast(Any, SimpleNamespace(prepared=prepared)), limit
    )


def test_a_rare_class_that_is_nearly_named_gets_the_smallest_of_the_best_factors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert doubtful(monkeypatch, 0.5) == 0.125, "0.125 times the logarithm of 99 is 0.57"
    assert doubtful(monkeypatch, 4.9) == 0, "what no factor reaches changes nothing"
    assert doubtful(monkeypatch, -1.0) == 0, "nor what is right already"


@pytest.mark.parametrize(("gain", "factor"), [(-1.0, 0.25), (2.0, 0.0)])
def test_the_weights_of_the_bundle_have_the_bias_if_all_validation_images_gain(
    channels_folder: Draw,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    gain: float,
    factor: float,
) -> None:
    monkeypatch.setattr(inference_settings, "choose_factor", lambda *_: 0.25)
    monkeypatch.setattr(inference_settings, "SMALLEST_GAIN", gain)
    with caplog.at_level(logging.INFO, "segwright"):
        bundle = train(channels_folder(validation=5), tmp_path / "model", epochs="1", inference_scale="1")
    description = read_description(bundle)
    best, last = (load_file(bundle / name) for name in (BEST_WEIGHTS, LAST_WEIGHTS))
    changed = [name for name in best if not torch.equal(best[name], last[name])]
    assert description.class_bias == factor and ("class bias 0.25" in caplog.text) == bool(factor)
    assert len(changed) == bool(factor)
    if factor:
        histogram = np.array(description.data["train"]["histogram"])
        assert torch.allclose(best[changed[0]] - last[changed[0]], class_bias(histogram, 0.25), atol=1e-6)
        scores = segwright.evaluate(bundle, tmp_path / "data/validation", tmp_path / "data/validation_annotation")
        assert scores.mean_iou == pytest.approx(description.metrics["best"]["mean_iou"], abs=0.02)
