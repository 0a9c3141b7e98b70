"""Backbones: any timm model that gives feature maps, with one contract.

Normalised images of any size go in; feature maps of the last two stages, and of the finer ones that a decoder uses,
come out, NCHW, each of ceil(H / stride) x ceil(W / stride). timm's models differ in all of this (output stride, channel
order, a multiple of 32 or one fixed size), so each model is tried out when it is built.
"""

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segwright.errors import HyperparameterError
from segwright.networks.depthwise import with_fast_depthwise
from segwright.networks.timm_import import timm
from segwright.wording import did_you_mean

logger = logging.getLogger(__name__)

SAGEMAKER_BACKBONES = {"resnet-50": "resnet50s.gluon_in1k", "resnet-101": "resnet101s.gluon_in1k"}
"""SageMaker's names of backbones, and the timm models with the weights that GluonCV used."""

_OUTPUT_STRIDES = (8, 16, 32)
_MULTIPLE = 32
# What timm's transformers need to take images of any size; convolution networks take neither.
_TRANSFORMER_SIZES = {"dynamic_img_size": True, "dynamic_img_pad": True}
_SIZE_OPTIONS: tuple[dict[str, bool], ...] = ({}, _TRANSFORMER_SIZES, {"strict_img_size": False})
_FAILURES = (TypeError, ValueError, AssertionError, RuntimeError, NotImplementedError, IndexError, KeyError)


class Backbone(nn.Module):
    """A timm feature extractor with the contract of this module's docstring.

    ``channels`` and ``strides`` describe the feature maps, the last stage last; ``mean`` and ``std`` belong to the
    published weights, for values from 0 to 1. Where the model takes multiples of 32 pixels only, images are padded
    below and on the right with zeros, the mean colour, and the feature maps cut.
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
        rows, columns = strided_size((height, width), self.multiple)
        padded = pad_or_cut(pixels, rows * self.multiple, columns * self.multiple)
        strided = zip(self._maps(padded), self.strides, strict=True)
        return [pad_or_cut(maps, *strided_size((height, width), stride)) for maps, stride in strided]

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.features(pixels)
        return [each.permute(0, 3, 1, 2) for each in maps] if self._channels_last else maps

    @torch.no_grad()
    def fits_contract(self, bands: int) -> bool:
        """Whether the model, tried out at multiples of ``multiple``, gives maps of the promised shapes."""
        sizes = [(97, 161), (1, 1)] if self.multiple == 1 else [(96, 160), (32, 32)]
        try:
            for size in sizes:
                shapes = [tuple(maps.shape) for maps in self._maps(torch.zeros(1, bands, *size))]
                described = zip(self.channels, self.strides, strict=True)
                if shapes != [(1, channels, *strided_size(size, stride)) for channels, stride in described]:
                    return False
        except _FAILURES:
            return False
        return True


@dataclass(frozen=True)
class BackbonePlan:
    """How to ask timm for a backbone: its name, ``create_model``'s arguments, the stages, the multiple of pixels."""

    timm_name: str
    arguments: Mapping[str, Any]
    stages: tuple[int, ...]
    multiple: int

    def build(self, **weights: Any) -> Backbone:
        """A new backbone; ``weights`` are the arguments of ``timm.create_model`` that locate its weights."""
        arguments = {"out_indices": self.stages, **self.arguments, **weights}
        return Backbone(_features(self.timm_name, arguments), self.multiple)


def timm_name(backbone: str) -> str:
    """The timm name of ``backbone``, SageMaker's or timm's; HyperparameterError if it, or its tag, does not exist."""
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
    backbone: str, output_stride: int, bands: int, decoder_output_stride: int | None = None
) -> tuple[BackbonePlan, Backbone]:
    """Find out how ``backbone`` gives feature maps at the stride nearest to ``output_stride``.

    With ``decoder_output_stride`` it gives those of finer stages too, as far as it has them, down to that stride.
    Returns the plan and the backbone, with random weights, on which it was tried. Raises HyperparameterError for names
    that do not exist and for models without feature maps that follow the image's size.
    """
    name = timm_name(backbone)
    strides = [{"output_stride": stride} for stride in _OUTPUT_STRIDES if stride >= output_stride]
    for stride_option, size_option in itertools.product([*strides, {}], _SIZE_OPTIONS):
        arguments: dict[str, Any] = {"in_chans": bands, **stride_option, **size_option}
        try:
            stages: tuple[int, ...] = (-2, -1)
            if decoder_output_stride is not None:
                stages = _stages_down_to(decoder_output_stride, _features(name, arguments))
            features = _features(name, {"out_indices": stages, **arguments})
            candidates = [Backbone(features, multiple) for multiple in (1, _MULTIPLE)]
        except _FAILURES:
            continue
        for candidate in candidates:
            if candidate.eval().fits_contract(bands):
                stride = candidate.strides[-1]
                if stride != output_stride:
                    message = "The backbone %s cannot give output stride %d; its nearest, %d, is used."
                    logger.info(message, backbone, output_stride, stride)
                return BackbonePlan(name, arguments, stages, candidate.multiple), candidate.train()
    raise HyperparameterError(
        f"backbone: {backbone!r} cannot be used, because timm gives no feature maps of it that follow the "
        "image's size. Choose another timm model, for example 'resnet-50' or 'tf_efficientnet_lite0'."
    )


def _features(name: str, arguments: Mapping[str, Any]) -> Any:
    return timm.create_model(name, features_only=True, **arguments)


def _stages_down_to(finest: int, features: Any) -> tuple[int, ...]:
    """The last two stages of a model, and before them the last stage of each finer stride down to ``finest``."""
    strides: list[int] = features.feature_info.reduction()
    last = {stride: index for index, stride in enumerate(strides[:-2])}
    finer = [last[stride] for stride in last if finest <= stride < strides[-1]]
    return (*finer, len(strides) - 2, len(strides) - 1)


def _near(name: str, names: list[str]) -> str:
    return did_you_mean(name, names, most=4) or " `timm.list_models()` lists them all."


def pad_or_cut(maps: Tensor, height: int, width: int) -> Tensor:
    """Add zeros below and on the right, or cut there; exported slices may hold at the traced size only."""
    return F.pad(maps, (0, width - maps.shape[3], 0, height - maps.shape[2]))


def strided_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width of a feature map at ``stride``, rounded up."""
    # not -(-length // stride): exported to ONNX, that rounds towards zero
    height, width = ((length + stride - 1) // stride for length in size)
    return height, width
