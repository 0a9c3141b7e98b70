"""Which library computes an exported file, and how it is opened."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch

from segwright.errors import UserError
from segwright.exported import LOGITS, ExportFormat
from segwright.inference.runtimes.onnx import ONNXRuntime
from segwright.inference.runtimes.openvino import OpenVINORuntime
from segwright.precisions import ExportPrecision

ExportRuntime = ONNXRuntime | OpenVINORuntime
INSTALL: Final = "pip install 'segwright[export]'"
"""What brings the libraries of all formats."""

_RUNTIMES: Final[dict[ExportFormat, Sequence[type[ExportRuntime]]]] = {
    "openvino": [OpenVINORuntime],
    "onnx": [ONNXRuntime, OpenVINORuntime],
}


def installed(library: str) -> bool:
    """Whether a package is there; it is not imported."""
    return find_spec(library) is not None


def runtime_for(export_format: ExportFormat) -> type[ExportRuntime] | None:
    """What computes a format here: its own runtime, or another one that is installed and reads it."""
    return next((runtime for runtime in _RUNTIMES[export_format] if installed(runtime.package)), None)


def open_export(
    file: Path,
    export_format: ExportFormat,
    precision: ExportPrecision,
    *,
    outputs: Sequence[str] = (LOGITS,),
    streams: int = 1,
) -> ExportRuntime:
    """Load an exported file to compute some of its outputs: `streams` images at the same time, each by as many threads
    as PyTorch takes.

    Raises UserError where no library for it is installed, and for bfloat16 on a processor without it.
    """
    runtime = runtime_for(export_format)
    if runtime is None:
        raise UserError(f"nothing that computes {export_format} is installed: {INSTALL}")
    return runtime(file, precision, outputs=outputs, threads=torch.get_num_threads(), streams=streams)
