"""Weights that a backbone starts from: published ones that timm fetches, or a file on this machine.

Files are read without running anything that is in them: safetensors, or PyTorch files holding nothing but
arrays. The arrays have to bear timm's names, as in the files that timm publishes; arrays of the classifier
may be there or not. This module knows nothing of heads or of Segwright's own bundles.
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
from segwright.networks.torchvision_schemas import timm
from segwright.wording import listed

logger = logging.getLogger(__name__)

_PYTORCH_SUFFIXES = (".pth", ".pt", ".bin")


def check_backbone(backbone: str, weights: Path | None) -> None:
    """Refuse, before anything slow is done, a backbone that does not exist and a weight file that is not there.

    Raises HyperparameterError and UserError as `build_network` would.
    """
    timm_name(backbone)
    if weights is not None:
        _check_missing(weights)


def load_published(plan: BackbonePlan) -> Backbone:
    """A backbone with the weights that timm publishes for it, fetched or from the Hugging Face cache.

    Raises UserError where none are published, and where they cannot be fetched.
    """
    if not timm.is_model_pretrained(plan.timm_name):
        raise UserError(
            f"backbone: no weights are published for {plan.timm_name!r}. Give a file of your own with "
            "--backbone-weights FILE, or start from random weights with --no-use-pretrained-model."
        )
    logger.info("Fetching the ImageNet weights of %s, unless the Hugging Face cache holds them.", plan.timm_name)
    try:
        with _without_remarks():
            return plan.build(pretrained=True)
    # timm and its hub client raise a dozen kinds; the model was built a moment ago, so the weights it is
    except Exception as error:
        raise UserError(
            f"The ImageNet weights of {plan.timm_name!r} could not be fetched ({_first_line(error)}). "
            "Without a connection, give a file with --backbone-weights FILE, start from random weights with "
            "--no-use-pretrained-model, or fill the Hugging Face cache beforehand (HF_HOME says where it is)."
        ) from error


def load_local(plan: BackbonePlan, path: Path) -> Backbone:
    """A backbone with the weights in ``path``: .safetensors, or .pth, .pt, .bin with nothing but arrays.

    Half-precision arrays become float32. Raises UserError for files that cannot be read, or do not hold the
    backbone's arrays.
    """
    arrays = read_arrays(path)
    _check_arrays(plan, arrays, path)
    wide = {name: array.float() if array.is_floating_point() else array for name, array in arrays.items()}
    overlay = {"state_dict": wide, "custom_load": False}
    try:
        with _without_remarks():
            return plan.build(pretrained=True, pretrained_cfg_overlay=overlay, pretrained_strict=False)
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: timm cannot use these weights for {plan.timm_name!r}: {error}") from error


def read_arrays(path: Path) -> dict[str, Tensor]:
    """The named arrays in a file; nothing else is unpickled. Raises UserError where that cannot be done."""
    _check_missing(path)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _read_safetensors(path)
    if suffix in _PYTORCH_SUFFIXES:
        return _read_pytorch(path)
    raise UserError(f"{path}: backbone weights are read from .safetensors, .pth, .pt and .bin files only.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: this is not a readable safetensors file ({_first_line(error)}).") from error


def _read_pytorch(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: this is damaged or holds more than arrays. It is not opened, because opening such a "
            "file can run whatever was put into it. Ask for a .safetensors file, or make one if you trust it."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path}: this is not a readable PyTorch file ({_first_line(error)}).") from error
    return _named_arrays(content, path)


def _named_arrays(content: Any, path: Path) -> dict[str, Tensor]:
    """The arrays themselves, or those that a training script put under "state_dict" or "model"."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(array, Tensor) for array in content.values()):
        raise UserError(f"{path}: this does not hold named arrays, so it cannot be used as backbone weights.")
    return dict(content)


def _check_arrays(plan: BackbonePlan, arrays: Mapping[str, Tensor], path: Path) -> None:
    expected = _expected_shapes(plan)
    missing = [name for name in expected if name not in arrays]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of the {len(expected)} arrays of the backbone {plan.timm_name!r} are "
            f"missing, for example {listed(missing)}. It has to hold this model's weights under timm's names."
        )
    other = [name for name, shape in expected.items() if tuple(arrays[name].shape) != shape]
    if other:
        shown = [f"{name} ({list(arrays[name].shape)} instead of {list(expected[name])})" for name in other]
        raise UserError(
            f"{path}: {len(other)} arrays have other shapes than in the backbone {plan.timm_name!r}: {listed(shown)}."
        )


def _expected_shapes(plan: BackbonePlan) -> dict[str, tuple[int, ...]]:
    """Names and shapes as in published files: three bands, without classifier and counts of batches."""
    arguments = {**plan.arguments, "in_chans": 3}
    model = timm.create_model(plan.timm_name, num_classes=0, **arguments)
    return {
        name: tuple(array.shape)
        for name, array in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep timm quiet about arrays, such as the classifier's, that feature extractors have no use for, and its hub
    client about every single attempt to connect.
    """
    loggers = [logging.getLogger(name) for name in ("timm.models._builder", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_missing(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of backbone weights.")
