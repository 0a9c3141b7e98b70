"""All runtimes compute what PyTorch computes, at sizes that were not traced, in several threads, in bounded memory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

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


def test_onnx_runtime_gets_the_threads_of_all_streams(graph: Path) -> None:
    session = ONNXRuntime(graph, "float32", threads=2, streams=3)._session
    assert session.get_session_options().intra_op_num_threads == 6, "its threads are shared by all images"


@BOTH
def test_outputs_are_those_that_are_asked_for(opening: type[OpenVINORuntime | ONNXRuntime], graph: Path) -> None:
    images = picture(*SIZES[1]).contiguous().numpy()
    mask, logits = opening(graph, "float32", outputs=["mask", "logits"]).run(images)
    assert mask.shape == (1, 65, 129) and mask.dtype == np.uint8
    assert np.array_equal(logits, opening(graph, "float32").coarse_logits(torch.from_numpy(images)).numpy())


class Failing:
    """A session or request that fails, or returns without a result."""

    def __init__(self, error: Exception | None) -> None:
        openvino = import_openvino()
        self.error, self.output_tensors = error, [openvino.Tensor(np.zeros((1, 3, 12, 12), np.float32))]

    def infer(self, *_arguments: object, **_keywords: object) -> None:
        if self.error:
            raise self.error

    run = infer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("Failed to allocate 2400000000 bytes of memory"), MemoryError),
        (RuntimeError("std::bad_alloc"), MemoryError),
        (RuntimeError("Shapes do not match"), RuntimeError),
        (None, MemoryError),
    ],
)
def test_openvino_says_when_memory_is_short(graph: Path, error: Exception | None, expected: type[Exception]) -> None:
    runtime = OpenVINORuntime(graph, "float32")
    runtime._idle.append(Failing(error))
    with pytest.raises(expected):
        runtime.coarse_logits(picture(1, 96, 96))
    assert len(runtime.coarse_logits(picture(1, 96, 96))) == 1, "the next image has another request"


def test_onnx_runtime_says_when_memory_is_short(graph: Path) -> None:
    runtime, kinds = ONNXRuntime(graph, "float32"), onnxruntime.capi.onnxruntime_pybind11_state
    runtime._session = Failing(kinds.Fail("Failed to allocate memory for requested buffer of size 4800000000"))
    with pytest.raises(MemoryError, match="4800000000"):
        runtime.coarse_logits(picture(1, 96, 96))
    runtime._session = Failing(kinds.Fail("Invalid rank for input"))
    with pytest.raises(kinds.Fail):
        runtime.coarse_logits(picture(1, 96, 96))


def test_openvino_does_not_return_the_image_before(tmp_path: Path) -> None:
    """Its maps are empty where this pooling, which rounds up, gets one pixel."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        helper.make_node("Conv", ["pooled", "weights"], ["logits"]),
    ]
    image, logits = (
        helper.make_tensor_value_info(name, kind, ["B", bands, f"{name}_h", f"{name}_w"])
        for name, kind, bands in (("image", onnx.TensorProto.UINT8, 3), ("logits", onnx.TensorProto.FLOAT, 2))
    )
    weights = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "weights")
    model = helper.make_graph(nodes, "small", [image], [logits], [weights])
    onnx.save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "a.onnx")
    runtime = OpenVINORuntime(tmp_path / "a.onnx", "float32")
    for size in (1, 8, 1):
        if size == 8:
            assert runtime.coarse_logits(picture(1, size, size)).shape == (1, 2, 4, 4)
        else:
            with pytest.raises(RuntimeError, match="computed nothing of 1 x 1 pixels"):
                runtime.coarse_logits(picture(1, size, size))
