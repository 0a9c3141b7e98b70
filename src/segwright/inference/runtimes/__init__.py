"""What computes a network: PyTorch, or a library that runs its exported graph."""

from segwright.inference.runtimes.base import Runtime
from segwright.inference.runtimes.candidates import installed
from segwright.inference.runtimes.onnx import ONNXRuntime
from segwright.inference.runtimes.openvino import OpenVINORuntime
from segwright.inference.runtimes.pytorch import PyTorchRuntime
from segwright.inference.runtimes.selection import PRECISIONS, Precision, check_precision, choose_runtime

__all__ = [
    "PRECISIONS",
    "ONNXRuntime",
    "OpenVINORuntime",
    "Precision",
    "PyTorchRuntime",
    "Runtime",
    "check_precision",
    "choose_runtime",
    "installed",
]
