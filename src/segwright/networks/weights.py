"""A backbone's first weights: those that timm publishes, or a local file under timm's names.

Files are read without running anything in them: safetensors, or PyTorch files that hold nothing but arrays.
"""

import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from segwright.errors import UserError
from segwright.networks.backbone import Backbone, BackbonePlan, timm_name
from segwright.networks.timm_import import timm
from segwright.wording import listed

logger = logging.getLogger(__name__)

_PYTORCH_SUFFIXES = (".pth", ".pt", ".bin")


def check_backbone(backbone: str, weights: Path | None) -> None:
    """Raise HyperparameterError for a backbone that does not exist, UserError for a missing file of weights."""
    timm_name(backbone)
    if weights is not None:
        _check_exists(weights)


def load_published(plan: BackbonePlan) -> Backbone:
    """A backbone with the weights that timm publishes for it, fetched or from the Hugging Face cache.

    Raises UserError where none are published, and where they cannot be fetched.
    """
    if not timm.is_model_pretrained(plan.timm_name):
        raise UserError(
            f"backbone: no weights are published for {plan.timm_name!r}. Give a file of your own as backbone_weights, "
            "or start from random weights with use_pretrained_model False."
        )
    logger.info("Fetching the ImageNet weights of %s, unless the Hugging Face cache holds them.", plan.timm_name)
    try:
        with _quiet():
            return plan.build(pretrained=True)
    # timm and its hub client raise a dozen kinds; the model was built a moment ago, so the weights it is
    except Exception as error:
        raise UserError(
            f"The ImageNet weights of {plan.timm_name!r} could not be fetched ({_first_line(error)}). Without a "
            "connection, give a file as backbone_weights, start from random weights with use_pretrained_model False, "
            "or fill the Hugging Face cache beforehand (HF_HOME is its path)."
        ) from error


def load_local(plan: BackbonePlan, path: Path) -> Backbone:
    """A backbone with the weights in ``path``; half-precision arrays become float32.

    The classifier's arrays may be there or not. Raises UserError for files that cannot be read, or do not hold the
    backbone's arrays.
    """
    arrays = read_arrays(path)
    _check_arrays(plan, arrays, path)
    wide = {name: array.float() if array.is_floating_point() else array for name, array in arrays.items()}
    overlay = {"state_dict": wide, "custom_load": False}
    try:
        with _quiet():
            return plan.build(pretrained=True, pretrained_cfg_overlay=overlay, pretrained_strict=False)
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: timm cannot use these weights for {plan.timm_name!r}: {error}") from error


def read_arrays(path: Path) -> dict[str, Tensor]:
    """The named arrays in a file, or under "state_dict" or "model" in it; nothing else is unpickled.

    Raises UserError for other files.
    """
    _check_exists(path)
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", *_PYTORCH_SUFFIXES):
        raise UserError(f"{path}: backbone weights are read from .safetensors, .pth, .pt and .bin files only.")
    try:
        if suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: this is damaged or holds more than arrays. It is not opened, because opening such a "
            "file can run whatever was put into it. Ask for a .safetensors file, or make one if you trust it."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        kind = "safetensors" if suffix == ".safetensors" else "PyTorch"
        raise UserError(f"{path}: this is not a readable {kind} file ({_first_line(error)}).") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(array, Tensor) for array in content.values()):
        raise UserError(f"{path}: this does not hold named arrays, so it cannot be used as backbone weights.")
    return dict(content)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of backbone weights.", file=str(path))


def _check_arrays(plan: BackbonePlan, arrays: Mapping[str, Tensor], path: Path) -> None:
    # as in published files: three bands, without classifier and counts of batches
    arguments: dict[str, Any] = {**plan.arguments, "in_chans": 3, "num_classes": 0}
    state = timm.create_model(plan.timm_name, **arguments).state_dict()
    expected = {name: list(array.shape) for name, array in state.items() if not name.endswith("num_batches_tracked")}
    missing = [name for name in expected if name not in arrays]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of the {len(expected)} arrays of the backbone {plan.timm_name!r} are "
            f"missing, for example {listed(missing)}. It has to hold this model's weights under timm's names."
        )
    other = [name for name, shape in expected.items() if list(arrays[name].shape) != shape]
    if other:
        shown = [f"{name} ({list(arrays[name].shape)} instead of {expected[name]})" for name in other]
        raise UserError(
            f"{path}: {len(other)} arrays have other shapes than in the backbone {plan.timm_name!r}: {listed(shown)}."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence timm on arrays that feature extractors do not use, and its hub client on each attempt to connect."""
    loggers = [logging.getLogger(name) for name in ("timm.models._builder", "huggingface_hub")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
