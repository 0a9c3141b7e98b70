"""What `auto` chooses, by what is proven and by what is faster here, and what it says."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from segwright.bundle import PrecisionCost, load_network, read_description
from segwright.errors import HyperparameterError, UserError
from segwright.exported import MeasuredMeanIou, read_exports
from segwright.inference import Model, load
from segwright.inference.runtimes import PyTorchRuntime, candidates, export_hint, opening, selection
from segwright.inference.runtimes.advice import why_not
from segwright.inference.runtimes.timing import draw, seconds_of
from segwright.networks import NetworkSpec
from segwright.precisions import ExportPrecision
from segwright.storage import write_bytes
from tests.conftest import blocks
from tests.helpers.exported_graphs import damaged_graph, served_graph, write_export
from tests.helpers.served import write_bundle

PROVEN = PrecisionCost(fall=0.02, images=101)
Times = dict[str, float]
Choose = Callable[..., tuple[Model, str]]
IMAGE = blocks(1, 40, 57)[0]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "model")


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    """What runtimes take, by number format and library; empty where nothing is to be timed."""
    known: Times = {}

    def timed(runtimes: list[PyTorchRuntime], _spec: NetworkSpec) -> list[float]:
        return [known[f"{runtime.precision} {runtime.name}"] for runtime in runtimes]

    monkeypatch.setattr(selection, "seconds_of", timed)
    monkeypatch.setattr(candidates, "choose_precision", lambda *_: torch.bfloat16)  # as if this processor had it
    return known


@pytest.fixture
def chosen(bundle: Path, caplog: pytest.LogCaptureFixture) -> Choose:
    """Load a bundle; return it, and the line about its precision."""

    def choose(precision: str = "auto") -> tuple[Model, str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "segwright"):
            model = load(bundle, "cpu", precision)
        return model, "\n".join(message for message in caplog.messages if "precision" in message)

    return choose


def prove(bundle: Path, cost: PrecisionCost) -> None:
    description = read_description(bundle).model_copy(update={"precisions": {"bfloat16": cost}})
    write_bytes(bundle / "bundle.json", description.model_dump_json().encode())


def test_without_proof_auto_is_exact_and_says_why(times: Times, chosen: Choose, bundle: Path) -> None:
    model, line = chosen()
    assert isinstance(model.runtime, PyTorchRuntime) and model.runtime.precision == "float32"
    assert line == (
        "precision auto: float32 with PyTorch (bfloat16 was not compared with float32 at the end of its training)"
    )
    assert np.array_equal(model.probabilities(IMAGE), load(bundle, "cpu").probabilities(IMAGE))


@pytest.mark.parametrize(
    ("cost", "seconds", "expected"),
    [
        (
            PROVEN,
            1.0,
            "bfloat16 with PyTorch, 2.9 times as fast as float32 with PyTorch here, mean IoU 0.02 points lower on 101 "
            "images",
        ),
        (
            PrecisionCost(fall=-0.004, images=5),
            2.0,
            "bfloat16 with PyTorch, 1.4 times as fast as float32 with PyTorch here, mean IoU 0.00 points higher on 5 "
            "images",
        ),
        (PROVEN, 2.8, "float32 with PyTorch (no faster here: bfloat16 with PyTorch)"),
        (PROVEN, 9.0, "float32 with PyTorch (no faster here: bfloat16 with PyTorch)"),
        (
            PrecisionCost(fall=0.11, images=50),
            1.0,
            "float32 with PyTorch (bfloat16: mean IoU 0.11 points lower on 50 images)",
        ),
    ],
)
def test_auto_takes_bfloat16_where_it_is_proven_and_faster(
    times: Times,
    chosen: Choose,
    bundle: Path,
    cost: PrecisionCost,
    seconds: float,
    expected: str,
) -> None:
    times.update({"float32 PyTorch": 2.9, "bfloat16 PyTorch": seconds})
    prove(bundle, cost)
    model, line = chosen()
    assert line == f"precision auto: {expected}"
    assert model.runtime.precision == expected.split()[0]


def test_auto_does_not_time_bfloat16_on_a_processor_without_it(
    times: Times, chosen: Choose, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "choose_precision", lambda *_: torch.float32)
    prove(bundle, PROVEN)
    assert chosen()[1] == "precision auto: float32 with PyTorch (bfloat16 is slow on this processor)"


def test_auto_takes_exports_within_their_bounds(times: Times, chosen: Choose, bundle: Path) -> None:
    times.update({"float32 PyTorch": 3.0, "float32 ONNX Runtime": 2.0, "int8 OpenVINO": 1.0})
    write_export(bundle, served_graph())
    model, line = chosen()
    assert (model.runtime.name, model.runtime.precision) == ("ONNX Runtime", "float32")
    assert "float32 with ONNX Runtime, 1.5 times as fast as float32 with PyTorch here (bfloat16 was not" in line
    assert np.allclose(model.probabilities(IMAGE), load(bundle, "cpu").probabilities(IMAGE), atol=1e-4)
    with pytest.raises(AttributeError, match="computed by ONNX Runtime"):
        _ = model.network

    write_export(bundle, served_graph(), "int8", "openvino")
    model, line = chosen()
    assert model.runtime.name == "ONNX Runtime"
    assert "int8 was exported without masks to measure it on" in line


def test_openvino_computes_an_export_of_float32_in_bfloat16_too(times: Times, bundle: Path) -> None:
    prove(bundle, PROVEN)
    write_export(bundle, served_graph(), "float32", "openvino")
    description, network = load_network(bundle)
    found = list(candidates.find_candidates(list(read_exports(bundle)), description, network))
    assert [str(candidate) for candidate in found] == [
        "float32 with PyTorch",
        "bfloat16 with PyTorch",
        "float32 with OpenVINO",
        "bfloat16 with OpenVINO",
    ]
    assert found[3].cost == found[1].cost and not found[3].objection


def test_auto_takes_int8_that_was_measured(times: Times, chosen: Choose, bundle: Path) -> None:
    times.update({"float32 PyTorch": 3.0, "int8 OpenVINO": 1.0})
    write_export(
        bundle, served_graph(), "int8", "openvino", MeasuredMeanIou(float32=0.7, exported=0.697, fall=0.3, images=80)
    )
    assert "int8 with OpenVINO, 3.0 times as fast as float32 with PyTorch here, mean IoU 0.30 points" in chosen()[1]
    times["int8 OpenVINO"] = 3.1
    assert "float32 with PyTorch (no faster here: int8 with OpenVINO" in chosen()[1]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_auto_takes_no_export_that_was_allowed_to_lose_much(
    times: Times, chosen: Choose, bundle: Path, precision: ExportPrecision
) -> None:
    measured = MeasuredMeanIou(float32=0.7, exported=0.67, fall=3.0, images=80)
    write_export(bundle, served_graph(), precision, measured=measured)
    assert f"; {precision}: mean IoU 3.00 points lower on 80 images)" in chosen()[1]


def test_exports_of_other_weights_or_without_a_runtime_are_not_used(
    times: Times,
    chosen: Choose,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_export(bundle, served_graph(), export_format="openvino", digest="other")
    assert chosen()[0].runtime.name == "PyTorch"
    assert "exported from other weights" in caplog.text
    write_export(bundle, served_graph())
    monkeypatch.setattr(opening, "installed", lambda library: library == "openvino")
    times.update({"float32 PyTorch": 3.0, "float32 OpenVINO": 2.0})
    assert chosen()[0].runtime.name == "OpenVINO", "which reads ONNX too"
    monkeypatch.setattr(opening, "installed", lambda _library: False)
    assert chosen()[0].runtime.name == "PyTorch"


def test_an_export_that_fails_or_computes_nonsense_is_left_out_with_a_warning(
    times: Times,
    chosen: Choose,
    bundle: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_export(bundle)
    assert chosen()[0].runtime.name == "PyTorch"
    assert "float32 with ONNX Runtime is not used: " in caplog.text
    write_export(bundle, damaged_graph(-1), export_format="openvino")
    assert chosen()[0].runtime.name == "PyTorch"
    assert "float32 with OpenVINO is not used: its logits are" in caplog.text


def test_an_onnx_file_that_openvino_computes_a_little_wrongly_is_left_out(
    times: Times, chosen: Choose, bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_export(bundle, damaged_graph(1.01))
    monkeypatch.setattr(opening, "installed", lambda library: library == "openvino")
    assert chosen()[0].runtime.name == "PyTorch"
    assert "float32 with OpenVINO is not used: its logits are" in caplog.text


def test_formats_that_are_asked_for_need_no_proof_but_an_export(times: Times, chosen: Choose, bundle: Path) -> None:
    assert chosen("bfloat16")[1] == "precision bfloat16: bfloat16 with PyTorch"
    with pytest.raises(UserError, match=r"no export .*`segwright export .* --precision int8 --calibrate .* --masks"):
        chosen("int8")
    write_export(bundle, served_graph(), "int8")
    assert chosen("int8")[1] == "precision int8: int8 with ONNX Runtime"
    times.update({"bfloat16 PyTorch": 1.0, "bfloat16 OpenVINO": 0.5})
    write_export(bundle, served_graph(), "bfloat16", "openvino")
    assert chosen("bfloat16")[0].runtime.name == "OpenVINO"
    assert chosen("float32")[0].runtime.name == "PyTorch"
    with pytest.raises(HyperparameterError, match=r"^precision is float16"):
        chosen("float16")
    with pytest.raises(UserError, match="precision is int4; it takes one of float32, bfloat16, float16, int8, auto"):
        chosen("int4")


def test_what_is_missing_for_int8_has_a_sentence_of_its_own(
    times: Times, chosen: Choose, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(bundle, b"no model", "int8")
    with pytest.raises(UserError, match="does not work here"):
        chosen("int8")
    exports = read_exports(bundle)
    assert "on CPUs alone, and the device is cuda" in why_not("int8", bundle, torch.device("cuda"), exports)
    monkeypatch.setattr(opening, "installed", lambda _library: False)
    with pytest.raises(UserError, match=r"no library .* pip install 'segwright\[export\]'"):
        chosen("int8")
    (bundle.parent / "original").mkdir()
    (bundle.parent / "original" / "model_best.params").touch()
    assert "segwright import-model" in why_not("int8", bundle.parent / "original", torch.device("cpu"), [])


def test_the_hint_at_exports_names_the_folder_of_the_model(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert export_hint(bundle.parent) == f"segwright export {bundle} --format openvino may make it faster"
    write_export(bundle)
    assert export_hint(bundle) == ""
    original = bundle.parent / "other" / "original"
    original.mkdir(parents=True)
    (original / "model_best.params").touch()
    assert export_hint(original.parent).startswith(f"segwright import-model {original} BUNDLE, and segwright export")
    monkeypatch.setattr(opening, "installed", lambda _library: False)
    assert export_hint(original) == ""


class Slow:
    """A runtime that takes seconds of a clock, more of them the first time and for larger pictures."""

    name, precision, device = "PyTorch", "float32", torch.device("cpu")

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds, self.calls = clock, seconds, list[int]()

    def coarse_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        size = pixels.shape[2]
        self.clock[0] += self.seconds * (size / 256) ** 2 * (1 if size in self.calls else 3)
        self.calls.append(size)
        return torch.zeros(1, 1, 1, 1)


@pytest.mark.parametrize(("seconds", "size", "turns"), [(0.01, 256, 5), (0.1, 256, 4), (5.0, 128, 1)])
def test_timing_is_bounded_and_its_first_run_does_not_count(seconds: float, size: int, turns: int) -> None:
    clock = [0.0]
    first, second = Slow(clock, seconds), Slow(clock, seconds / 2)
    spec = NetworkSpec("fcn", "test_resnet", 3)
    found = seconds_of([first, second], spec, lambda: clock[0])
    share = (size / 256) ** 2
    assert found == pytest.approx([seconds * share, seconds / 2 * share])
    assert second.calls == [size] * (turns + 1)


@pytest.mark.parametrize(
    ("spec", "dtype"),
    [
        (NetworkSpec("fcn", "x", 3), torch.uint8),
        (NetworkSpec("fcn", "x", 3, bands=2, bit_depth=16, mean=(0.1, 0.5), std=(0.02, 0.2)), torch.uint16),
        (NetworkSpec("fcn", "x", 3, bands=1, bit_depth=32, mean=(900.0,), std=(9.0,), numbers="float"), torch.float32),
    ],
)
def test_the_picture_that_is_timed_is_one_that_the_network_knows(spec: NetworkSpec, dtype: torch.dtype) -> None:
    pixels = draw(spec, 64, torch.device("cpu"))
    assert pixels.dtype == dtype and pixels.shape == (1, spec.bands, 64, 64)
    means = pixels.float().mean((0, 2, 3)) / spec.scale
    for mean, usual, deviation in zip(means, spec.mean or [0.5] * 3, spec.std or [0.5] * 3, strict=True):
        assert abs(mean - usual) < deviation
