"""All runtimes compute what PyTorch computes, at sizes that were not traced, in several threads, in bounded memory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from segwright.inference import PyTorchRuntime, Runtime, load
from segwright.inference.runtimes.onnx import ONNXRuntime
from segwright.inference.runtimes.openvino import OpenVINORuntime
from segwright.openvino_import import import_openvino
from tests.helpers.exported_graphs import served_graph
from tests.helpers.served import write_bundle

SIZES = [(1, 64, 96), (1, 65, 129), (3, 97, 40), (2, 33, 120)]
Opening = Callable[[Path, str], Runtime]
BOTH = pytest.mark.parametrize("opening", [OpenVINORuntime, ONNXRuntime])


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> PyTorchRuntime:
    return PyTorchRuntime(load(write_bundle(tmp_path_factory.mktemp("served") / "model"), "cpu").network)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("graph") / "model.onnx"
    file.write_bytes(served_graph())
    return file


def picture(batch: int, height: int, width: int) -> torch.Tensor:
    """As `logit_blocks` makes them: channels last in memory."""
    generator = torch.Generator().manual_seed(height)
    pixels = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)
    return pixels.permute(0, 3, 1, 2)


def off(runtime: Runtime, exact: Runtime, pixels: torch.Tensor) -> float:
    expected, found = exact.coarse_logits(pixels), runtime.coarse_logits(pixels)
    assert found.dtype == torch.float32 and found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@BOTH
def test_runtimes_agree_with_pytorch_at_any_size(opening: Opening, exact: PyTorchRuntime, graph: Path) -> None:
    runtime = opening(graph, "float32")
    assert (runtime.precision, runtime.device) == ("float32", torch.device("cpu"))
    assert max(off(runtime, exact, picture(*size)) for size in SIZES) < 1e-5


def test_openvino_reads_its_own_format_and_computes_in_the_format_that_is_asked_for(
    exact: PyTorchRuntime, graph: Path, tmp_path: Path
) -> None:
    openvino = import_openvino()
    openvino.save_model(openvino.Core().read_model(graph), tmp_path / "model.xml", compress_to_fp16=False)
    precise, rounded = (OpenVINORuntime(tmp_path / "model.xml", name) for name in ("float32", "bfloat16"))
    assert off(precise, exact, picture(*SIZES[1])) < 1e-5
    assert off(rounded, exact, picture(*SIZES[1])) < 0.1
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert off(rounded, exact, picture(*SIZES[1])) > 1e-4, "or else the hint has no effect"


def test_bfloat16_of_pytorch_is_autocast(exact: PyTorchRuntime) -> None:
    runtime = PyTorchRuntime(exact.network, torch.bfloat16)
    pixels = picture(*SIZES[0])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(runtime.coarse_logits(pixels), exact.network.coarse_logits(pixels))
    assert (runtime.name, runtime.precision) == ("PyTorch", "bfloat16")


@BOTH
def test_threads_share_a_runtime(opening: Opening, exact: PyTorchRuntime, graph: Path) -> None:
    runtime = opening(graph, "float32")
    pictures = [picture(*size) for size in SIZES] * 4
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(runtime.coarse_logits, pictures))
    for pixels, logits in zip(pictures, found, strict=True):
        torch.testing.assert_close(logits, exact.coarse_logits(pixels), rtol=1e-4, atol=1e-4)


def test_openvino_keeps_few_kernels_and_the_threads_that_it_is_given(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core, given = import_openvino().Core, dict[str, object]()

    class Spy:
        def read_model(self, path: Path) -> object:
            return core().read_model(path)

        def compile_model(self, model: object, device: str, properties: dict[str, object]) -> object:
            given.update(properties)
            return core().compile_model(model, device, properties)

    monkeypatch.setattr(import_openvino(), "Core", Spy)
    runtime = OpenVINORuntime(graph, "float32", threads=1, streams=2)
    assert given["CPU_RUNTIME_CACHE_CAPACITY"] == 64, "with its default memory grows with every size"
    assert given["INFERENCE_PRECISION_HINT"] == "f32", "its default is bfloat16 on some processors"
    assert (given["INFERENCE_NUM_THREADS"], given["NUM_STREAMS"]) == (2, 2)
    assert len(runtime._compiled.outputs) == 1, "masks and probabilities are not computed"
