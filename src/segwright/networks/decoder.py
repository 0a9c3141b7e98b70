"""A light decoder: refines a head's features with the backbone's finer feature maps.

Source: Chen et al. (2018), DeepLabV3+, for the reduced skip connection and the two 3x3 convolutions; Ronneberger et al.
(2015), U-Net, for one step at each stride.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from segwright.networks.backbone import strided_size
from segwright.networks.heads import classifier, conv_norm_relu
from segwright.networks.pooling import resize

_CHANNELS: Final = {16: 64, 8: 48, 4: 32, 2: 24, 1: 16}
"""Channels of the decoder by the stride of its step."""


class Decoder(nn.Module):
    """Features of a head at ``output_stride`` to class logits at ``decoder_output_stride``.

    Each step halves the stride: the features are resized, concatenated with the backbone's map of that stride (reduced
    by a 1x1 convolution) where it has one, and mixed by two 3x3 convolutions. ``skips`` holds the channels of the
    backbone's maps by stride. At stride 1 the map comes from two convolutions on the image itself.
    """

    def __init__(
        self,
        channels: int,
        skips: Mapping[int, int],
        num_classes: int,
        *,
        bands: int,
        output_stride: int,
        decoder_output_stride: int,
    ) -> None:
        super().__init__()
        self.strides = [stride for stride in _CHANNELS if decoder_output_stride <= stride < output_stride]
        self.reduce, self.mix = nn.ModuleDict(), nn.ModuleDict()
        for stride in self.strides:
            width = _CHANNELS[stride]
            if stride == 1:
                self.reduce["1"] = conv_norm_relu(bands, width, 3).extend(conv_norm_relu(width, width, 3))
            elif stride in skips:
                self.reduce[str(stride)] = conv_norm_relu(skips[stride], width, 1)
            joined = channels + width if str(stride) in self.reduce else channels
            self.mix[str(stride)] = conv_norm_relu(joined, width, 3).extend(conv_norm_relu(width, width, 3))
            channels = width
        self.classifier = nn.Sequential(nn.Dropout(0.1), classifier(channels, num_classes))

    def forward(self, features: Tensor, maps: Mapping[int, Tensor], pixels: Tensor) -> Tensor:
        """Head features, backbone maps by stride, and pixels [B, bands, H, W] to logits at the output stride."""
        size = (pixels.shape[-2], pixels.shape[-1])
        for stride in self.strides:
            joined = [resize(features, strided_size(size, stride))]
            if str(stride) in self.reduce:
                joined.append(self.reduce[str(stride)](pixels if stride == 1 else maps[stride]))
            features = self.mix[str(stride)](torch.cat(joined, dim=1))
        logits: Tensor = self.classifier(features)
        return logits
