"""The only import of timm: it imports torchvision, which has to be helped where its operators cannot be loaded.

The package index serves torchvision with CUDA operators, which a CPU-only PyTorch cannot load; torchvision then fails
while it describes two of them: "operator torchvision::nms does not exist". Nobody here uses them, so they are declared,
without code.
"""

import importlib
import sys

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


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


import_torchvision()

import timm  # noqa: E402 -- it imports torchvision

__all__ = ["import_torchvision", "timm"]
