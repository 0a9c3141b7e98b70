"""Heads: feature map [B, channels, h, w] to coarse class logits [B, C, h, w], as GluonCV builds them.

Source: GluonCV, gluoncv/model_zoo/{fcn,pspnet,deeplabv3}.py. On ResNet's 2048 and 1024 channels the layers, their order
and their sizes are GluonCV's; for other backbones the inner channels scale with the feature map's. Without
``num_classes`` a head ends before the logits, with the features that a decoder refines.

Weights start as He et al. (2015) derive, fan out, those of the last 1x1 convolution with deviation 0.01, so that
training starts from nearly equal probabilities. (GluonCV draws everything from +-0.07.)
"""

import torch
from torch import Tensor, nn

from segwright.algorithms import Algorithm
from segwright.networks.pooling import adaptive_average_pool, resize

_PYRAMID_BINS = (1, 2, 3, 6)
_ATROUS_RATES_AT_STRIDE_8 = (12, 24, 36)
_ASPP_CHANNELS = 256
_LEAST_INNER_CHANNELS = 64


class FCNHead(nn.Module):
    """A 3x3 convolution to a quarter of the channels, then class logits; also the auxiliary head of all networks.

    Source: Long, Shelhamer, Darrell (2015); GluonCV's ``_FCNHead``.
    """

    def __init__(self, channels: int, num_classes: int | None) -> None:
        super().__init__()
        self.block = _block(channels, inner_channels("fcn", channels), num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Feature map to logits, or to features for a decoder."""
        logits: Tensor = self.block(features)
        return logits


class PSPHead(nn.Module):
    """The feature map next to its averages over 1, 2, 3 and 6 windows a side, then class logits.

    Source: Zhao et al. (2017), "Pyramid scene parsing network"; GluonCV's ``_PSPHead``.
    """

    def __init__(self, channels: int, num_classes: int | None) -> None:
        super().__init__()
        inner = inner_channels("psp", channels)
        self.pyramid = nn.ModuleList(conv_norm_relu(channels, inner, 1) for _ in _PYRAMID_BINS)
        self.block = _block(channels + len(_PYRAMID_BINS) * inner, inner, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Feature map to logits, or to features for a decoder."""
        height, width = features.shape[-2:]
        parts = [features]
        for bins, level in zip(_PYRAMID_BINS, self.pyramid, strict=True):
            parts.append(resize(level(adaptive_average_pool(features, bins)), (height, width)))
        logits: Tensor = self.block(torch.cat(parts, dim=1))
        return logits


class DeepLabHead(nn.Module):
    """Atrous spatial pyramid pooling (convolutions at four rates next to the global average), then class logits.

    The rates are 12, 24, 36 at output stride 8 and scale with its inverse. Source: Chen et al. (2017), "Rethinking
    atrous convolution for semantic image segmentation", section 4.1; GluonCV's ``_DeepLabHead``.
    """

    def __init__(self, channels: int, num_classes: int | None, output_stride: int) -> None:
        super().__init__()
        rates = [max(1, rate * 8 // output_stride) for rate in _ATROUS_RATES_AT_STRIDE_8]
        self.branches = nn.ModuleList([conv_norm_relu(channels, _ASPP_CHANNELS, 1)])
        self.branches.extend(conv_norm_relu(channels, _ASPP_CHANNELS, 3, dilation=rate) for rate in rates)
        self.pooled = conv_norm_relu(channels, _ASPP_CHANNELS, 1)
        self.project = conv_norm_relu((len(rates) + 2) * _ASPP_CHANNELS, _ASPP_CHANNELS, 1)
        self.project.append(nn.Dropout(0.5))
        self.block = _block(_ASPP_CHANNELS, _ASPP_CHANNELS, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Feature map to logits, or to features for a decoder."""
        height, width = features.shape[-2:]
        pooled = self.pooled(features.mean((2, 3), keepdim=True))
        parts = [branch(features) for branch in self.branches]
        parts.append(resize(pooled, (height, width)))
        logits: Tensor = self.block(self.project(torch.cat(parts, dim=1)))
        return logits


def build_head(algorithm: Algorithm, channels: int, num_classes: int | None, output_stride: int) -> nn.Module:
    """A new main head of ``algorithm`` for feature maps of ``channels`` at ``output_stride``."""
    if algorithm == "deeplab":
        return DeepLabHead(channels, num_classes, output_stride)
    return (PSPHead if algorithm == "psp" else FCNHead)(channels, num_classes)


def inner_channels(algorithm: Algorithm, channels: int) -> int:
    """The channels of a head's features before the class logits."""
    return _ASPP_CHANNELS if algorithm == "deeplab" else max(channels // 4, _LEAST_INNER_CHANNELS)


def conv_norm_relu(channels: int, inner: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, BatchNorm and ReLU."""
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(channels, inner, kernel, padding=padding, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(inner), nn.ReLU(inplace=True))


def classifier(channels: int, num_classes: int) -> nn.Conv2d:
    """The last layer of a network: a 1x1 convolution to class logits."""
    last = nn.Conv2d(channels, num_classes, 1)
    nn.init.normal_(last.weight, std=0.01)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    return last


def _block(channels: int, inner: int, num_classes: int | None) -> nn.Sequential:
    last = [] if num_classes is None else [nn.Dropout(0.1), classifier(inner, num_classes)]
    return conv_norm_relu(channels, inner, 3).extend(last)  # last drawn first: a seed keeps its weights over versions
