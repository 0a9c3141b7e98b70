"""A backbone's first weights: those that timm publishes, or a local file under timm's names.

Files are read without running anything in them: safetensors, or PyTorch files that hold nothing but arrays.
"""

import logging
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from segwright.algorithms import Algorithm
from segwright.errors import UserError
from segwright.networks.backbone import SAGEMAKER_BACKBONES, Backbone, BackbonePlan, timm_name
from segwright.networks.hub import cannot_be_fetched, check_published
from segwright.networks.smp_head import check_installed
from segwright.networks.timm_import import timm
from segwright.wording import listed

logger = logging.getLogger(__name__)

LIKELY_BACKBONES: Final = (
    *("resnet50", "resnet101", "resnet18", "resnet34", "resnet152", "resnet50d", "resnet101d"),
    *SAGEMAKER_BACKBONES,
    *("resnext50_32x4d", "wide_resnet50_2", "seresnet50", "regnety_016", "hrnet_w18", "densenet121"),
    *("tf_efficientnet_lite0", "tf_efficientnet_b0", "tf_efficientnetv2_s", "tf_efficientnetv2_b0", "efficientnet_b0"),
    *("mobilenetv3_large_100", "mobilenetv3_small_100", "mobilenetv2_100", "mobilenetv4_conv_medium"),
    *("convnext_tiny", "convnext_small", "convnext_base", "convnextv2_tiny"),
    *("vit_small_patch16_224", "vit_base_patch16_224", "swin_tiny_patch4_window7_224"),
)
"""Backbones whose weights are often found in files."""

_PYTORCH_SUFFIXES = (".pth", ".pt", ".bin")


def check_network(algorithm: Algorithm, backbone: str, weights: Path | None, *, published: bool) -> None:
    """Find out early, in seconds, whether a network can be built, and whether its first weights can be had.

    ``published``: they are to be timm's, unless ``weights`` is a file. Raises HyperparameterError for a backbone that
    does not exist, UserError for a missing file or package and for weights that cannot be fetched.
    """
    check_installed(algorithm)
    timm_name(backbone)
    if weights is not None:
        _check_exists(weights)
    elif published:
        check_published(backbone)


def load_published(plan: BackbonePlan) -> Backbone:
    """A backbone with the weights that timm publishes for it, fetched or from the Hugging Face cache.

    Raises UserError where none are published, and where they cannot be fetched.
    """
    check_published(plan.timm_name)
    logger.info("Fetching the ImageNet weights of %s, unless the Hugging Face cache holds them.", plan.timm_name)
    try:
        with _quiet():
            return plan.build(pretrained=True)
    # timm and its hub client raise a dozen kinds; the model was built a moment ago, so the weights it is
    except Exception as error:
        raise cannot_be_fetched(plan.timm_name, _first_line(error)) from error


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


def fitting_backbone(path: Path, candidates: Iterable[str]) -> str | None:
    """The first backbone of which the file holds all arrays, and no others but a classifier's, or None; one that the
    file is named after comes first.

    Candidates are names of timm or SageMaker's. Raises UserError for a file that cannot be read.
    """
    shapes = {name: list(array.shape) for name, array in read_arrays(path).items()}
    named_after = [name for name in timm.list_models() if name == path.name.partition(".")[0]]
    for candidate in [*named_after, *candidates]:
        try:
            with torch.device("meta"):
                expected = _expected(SAGEMAKER_BACKBONES.get(candidate, candidate), {})
        except (NotImplementedError, RuntimeError):  # a few models compute with their own weights when they are built
            continue
        if not all(shapes.get(name) == shape for name, shape in expected.items()):
            continue
        rest = [name for name in shapes if name not in expected and not name.endswith("num_batches_tracked")]
        if all(name.startswith(_classifiers(candidate)) for name in rest):
            return candidate
    return None


def _classifiers(backbone: str) -> tuple[str, ...]:
    """How the names of a model's last layers begin."""
    config = timm.models.get_pretrained_cfg(SAGEMAKER_BACKBONES.get(backbone, backbone))
    names = config.classifier if config else ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names or ()))


def _check_arrays(plan: BackbonePlan, arrays: Mapping[str, Tensor], path: Path) -> None:
    expected = _expected(plan.timm_name, plan.arguments)
    missing = [name for name in expected if name not in arrays]
    other = [name for name, shape in expected.items() if name in arrays and list(arrays[name].shape) != shape]
    if not missing and not other:
        return
    fitting = fitting_backbone(path, LIKELY_BACKBONES)
    cure = f" This file fits the backbone {fitting}: set backbone to that." if fitting else ""
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of the {len(expected)} arrays of the backbone {plan.timm_name!r} are "
            f"missing, for example {listed(missing)}. It has to hold this model's weights under timm's names.{cure}"
        )
    shown = [f"{name} ({list(arrays[name].shape)} instead of {expected[name]})" for name in other]
    raise UserError(
        f"{path}: {len(other)} arrays have other shapes than in the backbone {plan.timm_name!r}: {listed(shown)}.{cure}"
    )


def _expected(name: str, arguments: Mapping[str, Any]) -> dict[str, list[int]]:
    """The shapes of a model's arrays in published files: of three bands, without classifier and counts of batches."""
    state = timm.create_model(name, **{**arguments, "in_chans": 3, "num_classes": 0}).state_dict()
    return {name: list(array.shape) for name, array in state.items() if not name.endswith("num_batches_tracked")}


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
