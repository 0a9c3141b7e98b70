"""What computes a network: PyTorch, or a library that runs its exported graph."""

from segwright.inference.runtimes.advice import export_hint
from segwright.inference.runtimes.base import Runtime
from segwright.inference.runtimes.opening import open_export
from segwright.inference.runtimes.pytorch import PyTorchRuntime
from segwright.inference.runtimes.selection import check_precision, choose_runtime

__all__ = [
    "PyTorchRuntime",
    "Runtime",
    "check_precision",
    "choose_runtime",
    "export_hint",
    "open_export",
]
