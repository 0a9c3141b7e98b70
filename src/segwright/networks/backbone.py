"""Backbones: any timm model that gives feature maps, as a module with one contract whatever the model is.

The contract: normalised images of any height and width in, the feature maps of the last two stages out, NCHW,
each of ceil(H / stride) x ceil(W / stride). timm's models differ in all of this (some take an output stride
and some do not, some put channels last, some want a multiple of 32 or one fixed size), so each model is tried
out when it is built, rather than believed. Which weights go in is the business of
`segwright.networks.weights`.
"""

import difflib
import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segwright.errors import HyperparameterError
from segwright.networks.depthwise import with_fast_depthwise
from segwright.networks.torchvision_schemas import timm

logger = logging.getLogger(__name__)

SAGEMAKER_BACKBONES = {"resnet-50": "resnet50s.gluon_in1k", "resnet-101": "resnet101s.gluon_in1k"}
"""SageMaker's names of backbones, and the timm models that hold the very weights GluonCV used."""

_OUTPUT_STRIDES = (8, 16, 32)
_MULTIPLE = 32
# How timm's transformers are told that images come in more than one size; convolution networks take neither.
_SIZE_OPTIONS: tuple[dict[str, bool], ...] = (
    {},
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"strict_img_size": False},
)
_FAILURES = (TypeError, ValueError, AssertionError, RuntimeError, NotImplementedError, IndexError, KeyError)


class Backbone(nn.Module):
    """A timm feature extractor with the contract of this module's docstring.

    ``channels`` and ``strides`` describe the last two stages, the last one last; ``mean`` and ``std`` are
    those of the images its published weights were trained on, for values from 0 to 1. Where the model only
    takes multiples of 32 pixels, images are padded below and on the right (with zeros, the mean colour) and
    the feature maps cut.
    """

    def __init__(self, features: Any, multiple: int) -> None:
        super().__init__()
        self.features = with_fast_depthwise(features)
        self.multiple = multiple
        self.channels = _last_two(features, "channels")
        self.strides = _last_two(features, "reduction")
        self.mean: tuple[float, ...] = tuple(features.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(features.pretrained_cfg["std"])
        self._channels_last = getattr(features, "output_fmt", "NCHW") == "NHWC"

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images [B, bands, H, W] to the feature maps of the stage before last and of the last."""
        height, width = pixels.shape[-2:]
        if self.multiple == 1:
            before_last, last = self._maps(pixels)
            return before_last, last
        whole = [_ceil_divide(length, self.multiple) * self.multiple for length in (height, width)]
        before_last, last = (
            _pad_or_cut(maps, _ceil_divide(height, stride), _ceil_divide(width, stride))
            for maps, stride in zip(self._maps(_pad_or_cut(pixels, *whole)), self.strides, strict=True)
        )
        return before_last, last

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.features(pixels)
        return [each.permute(0, 3, 1, 2) for each in maps] if self._channels_last else maps

    def delivers(self, bands: int) -> bool:
        """Whether the model, tried out at multiples of ``multiple``, keeps to the shapes of the contract."""
        sizes = [(97, 161), (1, 1)] if self.multiple == 1 else [(96, 160), (32, 32)]
        return all(self._delivers_at(torch.zeros(1, bands, *size)) for size in sizes)

    @torch.no_grad()
    def _delivers_at(self, pixels: Tensor) -> bool:
        expected = [
            (1, channels, *(_ceil_divide(length, stride) for length in pixels.shape[-2:]))
            for channels, stride in zip(self.channels, self.strides, strict=True)
        ]
        try:
            return [tuple(each.shape) for each in self._maps(pixels)] == expected
        except _FAILURES:
            return False


@dataclass(frozen=True)
class BackbonePlan:
    """How to ask timm for a backbone: its name, ``create_model``'s arguments, the multiple of pixels."""

    timm_name: str
    arguments: Mapping[str, Any]
    multiple: int

    def build(self, **weights: Any) -> Backbone:
        """A new backbone; ``weights``: arguments of ``timm.create_model`` that say where its weights are."""
        return Backbone(_features(self.timm_name, {**self.arguments, **weights}), self.multiple)


def timm_name(backbone: str) -> str:
    """The timm name of ``backbone``, which is SageMaker's or timm's.

    Raises HyperparameterError for a name, or a tag of weights after the dot, that does not exist.
    """
    name = SAGEMAKER_BACKBONES.get(backbone, backbone)
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise HyperparameterError(
            f"backbone: {backbone!r} is neither 'resnet-50' nor 'resnet-101' nor the name of a timm model."
            + _near(architecture, [*SAGEMAKER_BACKBONES, *timm.list_models()])
        )
    weights = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in weights:
        raise HyperparameterError(
            f"backbone: the timm model {architecture!r} has no weights called {tag!r}." + _near(name, weights)
        )
    return name


def plan_backbone(backbone: str, output_stride: int, bands: int) -> tuple[BackbonePlan, Backbone]:
    """Find out how ``backbone`` gives feature maps at the stride nearest to ``output_stride``.

    Returns the plan and the backbone, with random weights, on which it was tried. Raises HyperparameterError
    for names that do not exist and for models without feature maps that follow the image's size.
    """
    name = timm_name(backbone)
    for options in _ways(output_stride):
        arguments = {"in_chans": bands, **options}
        try:
            features = _features(name, arguments)
            candidates = [Backbone(features, multiple) for multiple in (1, _MULTIPLE)]
        except _FAILURES:
            continue
        for candidate in candidates:
            if candidate.eval().delivers(bands):
                _say_stride(backbone, output_stride, candidate.strides[-1])
                return BackbonePlan(name, arguments, candidate.multiple), candidate.train()
    raise HyperparameterError(
        f"backbone: {backbone!r} cannot be used, because timm gives no feature maps of it that follow the "
        "image's size. Choose another timm model, for example 'resnet-50' or 'tf_efficientnet_lite0'."
    )


def _features(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    features: nn.Module = timm.create_model(name, features_only=True, out_indices=(-2, -1), **arguments)
    return features


def _ways(output_stride: int) -> Iterator[dict[str, Any]]:
    strides = [{"output_stride": stride} for stride in _OUTPUT_STRIDES if stride >= output_stride]
    for stride, size in itertools.product([*strides, {}], _SIZE_OPTIONS):
        yield {**stride, **size}


def _say_stride(backbone: str, wanted: int, achieved: int) -> None:
    if achieved != wanted:
        logger.info(
            "The backbone %s cannot give output stride %d; its nearest, %d, is used.",
            backbone,
            wanted,
            achieved,
        )


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.6)
    return f" Did you mean {', '.join(near)}?" if near else " `timm.list_models()` lists them all."


def _pad_or_cut(maps: Tensor, height: int, width: int) -> Tensor:
    """Add zeros below and on the right, or cut there; exported slices may hold at the traced size only."""
    return F.pad(maps, (0, width - maps.shape[3], 0, height - maps.shape[2]))


def _ceil_divide(length: int, by: int) -> int:
    # not -(-length // by): exported to ONNX, that rounds towards zero
    return (length + by - 1) // by


def _last_two(features: Any, what: str) -> tuple[int, int]:
    before_last, last = getattr(features.feature_info, what)()[-2:]
    return int(before_last), int(last)
