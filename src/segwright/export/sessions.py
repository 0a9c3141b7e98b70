"""Exported files in their own runtimes, on the CPU."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import onnxruntime
import torch
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.exported import IMAGE, ExportFormat, ExportPrecision
from segwright.openvino_import import import_openvino

Run = Callable[[NDArray[Any]], list[NDArray[Any]]]
"""From images [B, bands, H, W] to the outputs that were asked for."""

_ERRORS_ONLY: Final = 3  # ONNX Runtime warns of each constant that it cannot fold


def open_session(file: Path, export_format: ExportFormat, precision: ExportPrecision, outputs: Sequence[str]) -> Run:
    """Load an exported file to compute some of its outputs, and those only.

    Raises UserError for bfloat16 on a processor that does not compute in it.
    """
    return _onnx(file, outputs) if export_format == "onnx" else _openvino(file, precision, outputs)


def _onnx(file: Path, outputs: Sequence[str]) -> Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    only_these = onnxruntime.RunOptions()
    only_these.only_execute_path_to_fetches = True

    def run(images: NDArray[Any]) -> list[NDArray[Any]]:
        computed: list[NDArray[Any]] = session.run(list(outputs), {IMAGE: images}, only_these)
        return computed

    return run


def _openvino(file: Path, precision: ExportPrecision, outputs: Sequence[str]) -> Run:
    openvino = import_openvino()
    core = openvino.Core()
    whole = core.read_model(file)
    model = openvino.Model([whole.output(name) for name in outputs], whole.get_parameters())
    half = precision == "bfloat16"
    properties = {
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",  # its default is what the processor is fastest in
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "CPU_RUNTIME_CACHE_CAPACITY": 64,  # or else it keeps what it compiled for every size that it has seen
    }
    try:
        compiled = core.compile_model(model, "CPU", properties)
    except RuntimeError as error:
        if not half:
            raise
        # without AVX-512 it has no kernels for some layers
        reason = "This processor does not compute in bfloat16: export it on one that does, or take float32."
        raise UserError(reason, name="precision", value=precision) from error

    def run(images: NDArray[Any]) -> list[NDArray[Any]]:
        computed = compiled(images)
        return [computed[index] for index in range(len(outputs))]

    return run
