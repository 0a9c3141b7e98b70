"""The one place where timm is imported, because torchvision sometimes has to be helped to import first.

timm imports torchvision. The package index serves torchvision built with CUDA operators, and next to a
CPU-only PyTorch those operators cannot be loaded: torchvision shrugs, and then fails while it describes two
of the operators it does not have, with ``operator torchvision::nms does not exist``. Segwright and timm use
none of them. Declaring the two operators (names and types, no code) is all that torchvision needs to import.

Nothing is declared where torchvision imports by itself, and every other failure is passed on as it is. This
module knows nothing else of the package; everything else that needs timm writes ``from
segwright.networks.torchvision_schemas import timm``.
"""

import importlib
import sys

import torch

_MISSING_OPERATORS = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> None:
    """Import torchvision, and cure the one failure that this module's docstring describes.

    Raises whatever the import raises otherwise.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        _forget_half_imported()
        for operator in _MISSING_OPERATORS:
            torch.library.define(operator, _SCHEMA)
        importlib.import_module("torchvision")


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


import_torchvision()

import timm  # noqa: E402 -- it imports torchvision, so it has to come after the cure

__all__ = ["import_torchvision", "timm"]
