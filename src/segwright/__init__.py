"""Segwright: semantic segmentation, from folders of images and masks to a trained model and its masks.

The names below are the Python interface. They are imported when first used, because PyTorch is slow to import
and `segwright --help` should not be.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Channels",
    "CheckpointPolicy",
    "Hyperparameters",
    "Model",
    "Scores",
    "UserError",
    "evaluate",
    "load",
    "predict_files",
    "train",
]

if TYPE_CHECKING:
    from segwright.data.channels import Channels
    from segwright.errors import UserError
    from segwright.evaluation import Scores, evaluate
    from segwright.hyperparameters import Hyperparameters
    from segwright.inference import Model, load, predict_files
    from segwright.training import CheckpointPolicy, train

_HOMES = {
    "Channels": "segwright.data.channels",
    "CheckpointPolicy": "segwright.training",
    "Hyperparameters": "segwright.hyperparameters",
    "Model": "segwright.inference",
    "Scores": "segwright.evaluation",
    "UserError": "segwright.errors",
    "evaluate": "segwright.evaluation",
    "load": "segwright.inference",
    "predict_files": "segwright.inference",
    "train": "segwright.training",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segwright' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
