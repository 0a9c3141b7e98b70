"""torchvision's DeepLabV3 in its reference recipe (references/segmentation), on the encoder that all have.

    VENV/bin/python benchmarks/quality/peer_torchvision.py train DATA OUTPUT ...

Heads and network are torchvision's (DeepLabHead, FCNHead, DeepLabV3), put together as deeplabv3_mobilenet_v3_large, its
own on a small encoder: output stride 16, an auxiliary head on an earlier stage. The encoder is timm's
tf_efficientnet_lite0 with the weights that all have, in place of torchvision's, whose weights cannot be had offline.

The recipe: the shorter edge resized to 0.5 to 2.0 times 520 pixels, flips, crops of 480, batches of 8, SGD with 0.01
(ten times that for the auxiliary head), momentum 0.9, weight decay 0.0001, poly, cross-entropy plus half the auxiliary
one; validation at a shorter edge of 520 (here the logits are resized to the image's size). The recipe scores after each
epoch and keeps all weights; here the best by validation are kept.
"""

import argparse
import random
from collections import OrderedDict
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision.models.segmentation import DeepLabV3
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.transforms import InterpolationMode, RandomCrop
from torchvision.transforms import functional as F

from peer_training import IGNORE, Recipe, Sample, main

BASE, CROP = 520, 480
LEARNING_RATE, AUXILIARY = 0.01, 0.5


class Encoder(nn.Module):
    """timm's encoder in the form of torchvision's: feature maps of strides 16 and, dilated, 32."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.features: nn.Module = timm.create_model(
            "tf_efficientnet_lite0",
            pretrained=True,
            pretrained_cfg_overlay={"file": weights},
            features_only=True,
            out_indices=(3, 4),
            output_stride=16,
        )

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Feature maps by the names that DeepLabV3 looks for."""
        auxiliary, out = self.features(images)
        return OrderedDict(out=out, aux=auxiliary)


def build(arguments: argparse.Namespace) -> Recipe:
    """The reference recipe."""
    encoder = Encoder(str(arguments.weights))
    auxiliary, last = encoder.features.feature_info.channels()  # type: ignore[union-attr,operator]
    network = DeepLabV3(encoder, DeepLabHead(last, arguments.classes), FCNHead(auxiliary, arguments.classes))
    groups: list[dict[str, Any]] = [
        {"params": list(network.backbone.parameters())},
        {"params": list(network.classifier.parameters())},
        {"params": list(network.aux_classifier.parameters()), "lr": 10 * LEARNING_RATE},
    ]
    optimizer = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    return Recipe(network, augmented, loss, logits, optimizer, lambda used: (1 - used) ** 0.9, batch_size=8)


def augmented(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Sample:
    """RandomResize, RandomHorizontalFlip and RandomCrop of the reference."""
    image, mask = Image.fromarray(pixels), Image.fromarray(labels)
    size = random.randint(BASE // 2, BASE * 2)
    image, mask = F.resize(image, size), F.resize(mask, size, InterpolationMode.NEAREST)
    if random.random() < 0.5:
        image, mask = F.hflip(image), F.hflip(mask)
    right, below = (max(CROP - edge, 0) for edge in image.size)
    image, mask = F.pad(image, [0, 0, right, below]), F.pad(mask, [0, 0, right, below], fill=IGNORE)
    window = RandomCrop.get_params(image, (CROP, CROP))
    return normalized(F.crop(image, *window)), torch.from_numpy(np.array(F.crop(mask, *window))).long()


def normalized(image: Image.Image) -> Tensor:
    """Pixels as the encoder takes them: its mean and deviation are 0.5."""
    return (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 - 0.5) / 0.5


def loss(network: nn.Module, images: Tensor, masks: Tensor) -> Tensor:
    """Both heads."""
    outputs = network(images)
    main_loss, auxiliary = (
        nn.functional.cross_entropy(outputs[name], masks, ignore_index=IGNORE) for name in ("out", "aux")
    )
    return main_loss + AUXILIARY * auxiliary


def logits(network: nn.Module, image: NDArray[np.uint8]) -> Tensor:
    """Logits [C, H, W], computed at a shorter edge of 520."""
    resized = normalized(F.resize(Image.fromarray(image), BASE))
    output = network(resized[None])["out"]
    return nn.functional.interpolate(output, image.shape[:2], mode="bilinear", align_corners=False)[0]


if __name__ == "__main__":
    main(("torchvision", "timm"), build)
