"""segmentation_models_pytorch, trained as its CamVid example does.

    VENV/bin/python benchmarks/quality/peer_smp.py train DATA OUTPUT --decoder Unet|DeepLabV3Plus ...

From examples/camvid_segmentation_multiclass.ipynb: augmentation with crops of 320 pixels, Dice loss, Adam with a
learning rate of 0.0002 that falls to 0.00001 along a cosine, images padded to multiples of 32 for validation.
Different: batches of 8, as in its example for CPUs (binary_segmentation_buildings.py), in place of 32, so that the
budget holds more updates; ignored pixels and padding take no part in the loss, whereas the example has a class for
them; pixels are scaled to 0 to 1 before mean and deviation are applied, which the example leaves out; the budget sets
the schedule's length. The best weights by validation are kept.
"""

import argparse
import math
from functools import partial

import albumentations as A  # type: ignore[import-not-found]
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from peer_training import IGNORE, Recipe, Sample, main

CROP = 320
LEARNING_RATE, LOWEST_RATE = 2e-4, 1e-5
ENCODER = "tu-tf_efficientnet_lite0"


def build(arguments: argparse.Namespace) -> Recipe:
    """The recipe for one of the decoders."""
    network = smp.create_model(
        arguments.decoder,
        encoder_name=ENCODER,
        encoder_weights=True,
        classes=arguments.classes,
        pretrained_cfg_overlay={"file": str(arguments.weights)},
    )
    losses = {
        "dice": smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=IGNORE),
        "ce": nn.CrossEntropyLoss(ignore_index=IGNORE),
    }
    criterion, rate = losses[arguments.loss], arguments.learning_rate
    return Recipe(
        network,
        Augmentation(),
        lambda network, images, masks: criterion(network(images), masks),
        logits,
        torch.optim.Adam(network.parameters(), lr=rate),
        lambda used: (LOWEST_RATE + (rate - LOWEST_RATE) * (1 + math.cos(math.pi * used)) / 2) / rate,
        batch_size=8,
    )


class Augmentation:
    """The example's augmentation; padding is black and ignored."""

    def __init__(self) -> None:
        one_of, black = partial(A.OneOf, p=0.9), {"border_mode": cv2.BORDER_CONSTANT, "fill_mask": IGNORE}
        self.seeded, self.steps = (
            False,
            A.Compose(
                [
                    A.HorizontalFlip(p=0.5),
                    A.ShiftScaleRotate(scale_limit=0.5, rotate_limit=0, shift_limit=0.1, p=1, **black),
                    A.PadIfNeeded(CROP, CROP, **black),
                    A.RandomCrop(CROP, CROP),
                    A.GaussNoise(p=0.2),
                    A.Perspective(p=0.5, **black),
                    one_of([A.CLAHE(p=1), A.RandomBrightnessContrast(p=1), A.RandomGamma(p=1)]),
                    one_of([A.Sharpen(p=1), A.Blur(blur_limit=3, p=1), A.MotionBlur(blur_limit=3, p=1)]),
                    one_of([A.RandomBrightnessContrast(p=1), A.HueSaturationValue(p=1)]),
                ]
            ),
        )

    def __call__(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Sample:
        """One training sample. Each worker has a seed of its own, which albumentations does not see to."""
        if not self.seeded:
            cv2.setNumThreads(0)
            self.steps.set_random_seed(torch.initial_seed() % 2**32)
            self.seeded = True
        result = self.steps(image=image, mask=mask)
        return normalized(result["image"]), torch.from_numpy(result["mask"]).long()


def normalized(image: NDArray[np.uint8]) -> Tensor:
    """Pixels [H, W, 3] as the encoder takes them, [3, H, W]."""
    parameters = smp.encoders.get_preprocessing_params(ENCODER)
    mean, std = (torch.tensor(parameters[name]).view(3, 1, 1) for name in ("mean", "std"))
    return (torch.from_numpy(image).permute(2, 0, 1).float() / 255 - mean) / std


def logits(network: nn.Module, image: NDArray[np.uint8]) -> Tensor:
    """Logits [C, H, W] of an image, padded to multiples of 32."""
    height, width = image.shape[:2]
    padding = (0, -width % 32, 0, -height % 32)
    padded = nn.functional.pad(normalized(image)[None], padding, mode="reflect")
    result: Tensor = network(padded)[0, :, :height, :width]
    return result


def options(parser: argparse.ArgumentParser) -> None:
    """What the example leaves to its reader."""
    parser.add_argument("--decoder", default="Unet", help="Unet, DeepLabV3Plus or another of the package")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--loss", choices=("dice", "ce"), default="dice")


if __name__ == "__main__":
    main(("segmentation_models_pytorch", "albumentations", "timm"), build, options)
