"""Backbones: any timm model that gives feature maps, as a module with one contract whatever the model is.

Normalised images of any height and width go in, feature maps come out, NCHW, each of ceil(H / stride) x
ceil(W / stride): those of the last two stages, before them those of the finer stages that a decoder asks for. timm's
models differ in all of this (output stride, channels last, a multiple of 32 or one fixed size), so each model is tried
out when it is built.
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

    ``channels`` and ``strides`` describe the feature maps, the last stage last; ``mean`` and ``std`` are those of the
    images its published weights were trained on, for values from 0 to 1. Where the model only takes multiples of 32
    pixels, images are padded below and on the right (with zeros, the mean colour) and the feature maps cut.
    """

    def __init__(self, features: Any, multiple: int) -> None:
        super().__init__()
        self.features = with_fast_depthwise(features)
        self.multiple = multiple
        self.channels: tuple[int, ...] = tuple(features.feature_info.channels())
        self.strides: tuple[int, ...] = tuple(features.feature_info.reduction())
        self.mean: tuple[float, ...] = tuple(features.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(features.pretrained_cfg["std"])
        self._channels_last = getattr(features, "output_fmt", "NCHW") == "NHWC"

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised images [B, bands, H, W] to feature maps, the last stage's last."""
        if self.multiple == 1:
            return self._maps(pixels)
        height, width = pixels.shape[-2:]
        padded = _pad_or_cut(pixels, *strided_size((height, width), self.multiple, self.multiple))
        return [
            _pad_or_cut(maps, *strided_size((height, width), stride))
            for maps, stride in zip(self._maps(padded), self.strides, strict=True)
        ]

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
            (1, channels, *strided_size((pixels.shape[-2], pixels.shape[-1]), stride))
            for channels, stride in zip(self.channels, self.strides, strict=True)
        ]
        try:
            return [tuple(each.shape) for each in self._maps(pixels)] == expected
        except _FAILURES:
            return False


@dataclass(frozen=True)
class BackbonePlan:
    """How to ask timm for a backbone: its name, ``create_model``'s arguments, the stages, the multiple of pixels."""

    timm_name: str
    arguments: Mapping[str, Any]
    stages: tuple[int, ...]
    multiple: int

    def build(self, **weights: Any) -> Backbone:
        """A new backbone; ``weights``: arguments of ``timm.create_model`` that say where its weights are."""
        arguments = {"out_indices": self.stages, **self.arguments, **weights}
        return Backbone(_features(self.timm_name, arguments), self.multiple)


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


def plan_backbone(
    backbone: str, output_stride: int, bands: int, finest: int | None = None
) -> tuple[BackbonePlan, Backbone]:
    """Find out how ``backbone`` gives feature maps at the stride nearest to ``output_stride``.

    ``finest`` asks for the maps of finer stages as well, as far as the model has them, down to that stride. Returns the
    plan and the backbone, with random weights, on which it was tried. Raises HyperparameterError for names that do not
    exist and for models without feature maps that follow the image's size.
    """
    name = timm_name(backbone)
    for options in _ways(output_stride):
        arguments = {"in_chans": bands, **options}
        try:
            stages = (-2, -1) if finest is None else _stages_down_to(finest, name, arguments)
            features = _features(name, {"out_indices": stages, **arguments})
            candidates = [Backbone(features, multiple) for multiple in (1, _MULTIPLE)]
        except _FAILURES:
            continue
        for candidate in candidates:
            if candidate.eval().delivers(bands):
                _say_stride(backbone, output_stride, candidate.strides[-1])
                return BackbonePlan(name, arguments, stages, candidate.multiple), candidate.train()
    raise HyperparameterError(
        f"backbone: {backbone!r} cannot be used, because timm gives no feature maps of it that follow the "
        "image's size. Choose another timm model, for example 'resnet-50' or 'tf_efficientnet_lite0'."
    )


def _features(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    features: nn.Module = timm.create_model(name, features_only=True, **arguments)
    return features


def _stages_down_to(finest: int, name: str, arguments: Mapping[str, Any]) -> tuple[int, ...]:
    """The last two stages of a model, and before them the last stage of each finer stride down to ``finest``."""
    features: Any = _features(name, arguments)
    strides: list[int] = features.feature_info.reduction()
    last = {stride: index for index, stride in enumerate(strides[:-2])}
    finer = [last[stride] for stride in last if finest <= stride < strides[-1]]
    return (*finer, len(strides) - 2, len(strides) - 1)


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


def strided_size(size: tuple[int, int], stride: int, times: int = 1) -> tuple[int, int]:
    """Height and width of a feature map at ``stride``: ceil(length / stride), ``times`` an own factor."""
    # not -(-length // stride): exported to ONNX, that rounds towards zero
    height, width = ((length + stride - 1) // stride * times for length in size)
    return height, width
