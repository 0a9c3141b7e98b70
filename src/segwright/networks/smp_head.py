"""Decoders of segmentation_models_pytorch (SMP) as heads on our backbones.

SMP's decoders take feature maps that halve exactly from stride to stride. Ours are as large as images of any size make
them, so they are padded with zeros below and on the right, and the logits cut. Decoders and last layers have the sizes
and the first weights that SMP's models give them. The package is an extra and imported when such a head is built.
"""

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn

from segwright.algorithms import Algorithm, is_smp
from segwright.errors import HyperparameterError, UserError
from segwright.networks.backbone import pad_or_cut, strided_size
from segwright.networks.pooling import adaptive_average_pool, resize

FINEST_STRIDE: Final = 2
"""The stride of the finest feature map that the decoders take."""

_STRIDES: Final = (2, 4, 8, 16, 32)
_UNET_CHANNELS: Final = (256, 128, 64, 32, 16)


def check_installed(algorithm: Algorithm) -> None:
    """Raise UserError if ``algorithm`` needs SMP and it is missing; nothing is imported."""
    if is_smp(algorithm) and find_spec("segmentation_models_pytorch") is None:
        raise UserError(
            f"algorithm: {algorithm} needs the package segmentation_models_pytorch: pip install 'segwright[decoders]'"
        )


class SMPHead(nn.Module):
    """A decoder of SMP: feature maps at several strides to coarse class logits.

    ``channels`` has the channels of the backbone's maps by stride. Without one at stride 2 there is no skip connection,
    as in SMP; other maps that are missing, as those of vision transformers are, are made of the nearest one by resizing
    or max pooling. Source: Li et al. (2022), "Exploring plain vision transformer backbones", there with convolutions.

    Raises UserError without SMP, HyperparameterError for strides that are no powers of two up to 32.
    """

    def __init__(self, algorithm: Algorithm, channels: Mapping[int, int], bands: int, num_classes: int) -> None:
        super().__init__()
        check_installed(algorithm)
        if not set(channels) <= set(_STRIDES):
            found = ", ".join(map(str, channels))
            raise HyperparameterError(
                f"backbone: {algorithm} takes feature maps at strides 2, 4, 8, 16 and 32, and this backbone has "
                f"{found}. Choose another backbone, or algorithm fcn, psp or deeplab."
            )
        self.strides = _STRIDES if algorithm != "smp:deeplabv3plus" else (2, 4, max(channels))
        nearest = {stride: min((s for s in channels if s >= stride), default=max(channels)) for stride in self.strides}
        self.sources = {stride: source for stride, source in nearest.items() if stride > 2 or source == 2}
        taken = [bands, *(channels[self.sources[stride]] if stride in self.sources else 0 for stride in self.strides)]
        smp = importlib.import_module("segmentation_models_pytorch")
        self.decoder, inner, kernel, self.output_stride = _decoder(smp, algorithm, taken, self.strides[-1])
        _pool_exportably(self.decoder)
        self.classifier = smp.base.SegmentationHead(inner, num_classes, kernel_size=kernel)
        smp.base.initialization.initialize_decoder(self.decoder)
        smp.base.initialization.initialize_head(self.classifier)

    def forward(self, maps: Mapping[int, Tensor], size: tuple[int, int]) -> Tensor:
        """Backbone maps [B, channels, h, w] by stride, of images of ``size`` = (H, W), to logits at `output_stride`."""
        coarsest = self.strides[-1]
        rows, columns = strided_size(size, coarsest)
        pyramid = []
        for stride in (1, *self.strides):
            height, width = rows * (coarsest // stride), columns * (coarsest // stride)
            if stride in self.sources:
                pyramid.append(pad_or_cut(self._map(maps, stride, size), height, width))
            else:  # decoders ask the one at stride 1 for its size
                like = next(iter(maps.values()))
                pyramid.append(like.new_zeros(like.shape[0], 0, height, width))
        logits: Tensor = self.classifier(self.decoder(pyramid))
        return pad_or_cut(logits, *strided_size(size, self.output_stride))

    def _map(self, maps: Mapping[int, Tensor], stride: int, size: tuple[int, int]) -> Tensor:
        source = self.sources[stride]
        if source < stride:
            return F.max_pool2d(maps[source], stride // source, ceil_mode=True)
        return maps[source] if source == stride else resize(maps[source], strided_size(size, stride))


def _decoder(smp: Any, algorithm: Algorithm, channels: list[int], stride: int) -> tuple[nn.Module, int, int, int]:
    """A decoder as SMP's model of that name builds it, for maps of ``channels`` at strides 1, 2, ... up to ``stride``;
    the channels of its features, the kernel of the last layer, and the features' stride.
    """
    decoders = smp.decoders
    match algorithm.removeprefix("smp:"):
        case "unet":
            return decoders.unet.decoder.UnetDecoder(channels, _UNET_CHANNELS), 16, 3, 1
        case "unetplusplus":
            return decoders.unetplusplus.decoder.UnetPlusPlusDecoder(channels, _UNET_CHANNELS), 16, 3, 1
        case "manet":
            return decoders.manet.decoder.MAnetDecoder(channels, _UNET_CHANNELS), 16, 3, 1
        case "linknet":
            return decoders.linknet.decoder.LinknetDecoder(channels), 32, 1, 1
        case "fpn":
            return decoders.fpn.decoder.FPNDecoder(channels), 128, 1, 4
        case "upernet":
            return decoders.upernet.decoder.UPerNetDecoder(channels), 256, 1, 4
        case "segformer":
            return decoders.segformer.decoder.SegformerDecoder(channels), 256, 1, 4
        case _:
            decoder = decoders.deeplabv3.decoder.DeepLabV3PlusDecoder(channels, 5, 256, (12, 24, 36), 16, True, 0.5)
            decoder.up = nn.Upsample(scale_factor=stride // 4, mode="bilinear", align_corners=True)
            return decoder, 256, 1, 4


class _AveragePool(nn.Module):
    """`nn.AdaptiveAvgPool2d` that can be exported with dynamic sizes."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, maps: Tensor) -> Tensor:
        return adaptive_average_pool(maps, self.bins)


def _pool_exportably(decoder: nn.Module) -> None:
    for module in list(decoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and isinstance(child.output_size, int) and child.output_size > 1:
                setattr(module, name, _AveragePool(child.output_size))
