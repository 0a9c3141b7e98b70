"""The only import of timm: it imports torchvision, which has to be helped where its operators cannot be loaded.

The package index serves torchvision with CUDA operators, which a CPU-only PyTorch cannot load; torchvision then fails
while it describes two of them: "operator torchvision::nms does not exist". Nobody here uses them, so they are declared,
without code.

Both also import PyTorch's compiler, which takes seconds, for two functions that hardly anything calls. While they are
imported, those functions are others, which import the compiler when they are called.
"""

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import torch

_SCHEMA: Final = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_COMPILER: Final = ("torch._dynamo", "torch._dynamo.utils")


def import_torchvision() -> None:
    """Import torchvision, and declare the two operators where it fails without them; other failures are raised."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        for operator in ("torchvision::nms", "torchvision::qnms"):
            torch.library.define(operator, _SCHEMA)
        importlib.import_module("torchvision")


@contextmanager
def compiler_when_called() -> Iterator[None]:
    """Keep what is imported within from importing PyTorch's compiler."""
    if _COMPILER[0] in sys.modules:
        yield
        return
    package, utils = (ModuleType(name) for name in _COMPILER)
    utils.__dict__["is_compile_supported"] = _is_compile_supported  # for RoI operators
    disable = torch.compiler.disable
    sys.modules |= {_COMPILER[0]: package, _COMPILER[1]: utils}
    torch.compiler.disable = functools.partial(_disabled_when_called, disable)  # for one of timm's transformers
    try:
        yield
    finally:
        torch.compiler.disable = disable
        for name in _COMPILER:
            del sys.modules[name]


def _is_compile_supported(device_type: str) -> bool:
    supported: bool = importlib.import_module(_COMPILER[1]).is_compile_supported(device_type)
    return supported


def _disabled_when_called(
    disable: Callable[..., Any], function: Callable[..., Any] | None = None, *arguments: Any, **options: Any
) -> Callable[..., Any]:
    """`torch.compiler.disable`, as a decorator with or without arguments, that takes effect at the first call."""
    if function is None:
        return lambda later: _disabled_when_called(disable, later, *arguments, **options)

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        return disable(function, *arguments, **options)(*given, **named)

    return call


with compiler_when_called():
    import_torchvision()
    import timm

__all__ = ["import_torchvision", "timm"]
