"""Which crop of an image is cut: at random for training, or fixed.

Source: GluonCV, gluoncv/data/segbase.py, `_sync_transform` and `_val_sync_transform`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.labels import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """What random crops are drawn from; the defaults are GluonCV's."""

    scale_range: tuple[float, float] = (0.5, 2.0)  # of the long side
    blur: float = 0.5  # the probability of a Gaussian blur, of standard deviation uniform over 0 to 1
    rotation: float = 0.0  # the largest angle to either side, in degrees
    upside_down: bool = False  # whether images are flipped top to bottom with probability 0.5
    mirror: bool = True  # whether they are mirrored left to right with probability 0.5
    balanced_crops: float = 0.0  # the share that, before a rotation, shows a pixel of a class drawn among the mask's


GLUONCV: Final = Augmentation()


@dataclass(frozen=True)
class Crop:
    """One square crop of an image that was mirrored and scaled; sizes and positions in pixels."""

    height: int
    width: int
    scaled_height: int
    scaled_width: int
    top: int  # first row of the crop in the scaled image
    left: int  # first column of the crop in the scaled and mirrored image
    size: int  # rows and columns of the crop; what lies right of or below the scaled image is padding
    mirrored: bool = False
    blur: float = 0.0  # standard deviation of the Gaussian blur; 0 for none
    angle: float = 0.0  # by which the crop is rotated about its middle, in degrees
    upside_down: bool = False

    @property
    def reduction(self) -> int:
        """How many times smaller, in whole numbers, the image may be decoded without showing less in the crop."""
        return max(min(self.height // self.scaled_height, self.width // self.scaled_width), 1)


def random_crop(
    rng: np.random.Generator,
    mask: NDArray[np.uint8],
    long_side: int,
    crop_size: int,
    augmentation: Augmentation = GLUONCV,
) -> Crop:
    """Draw a crop of an image with this mask, uint8 [H, W] of classes: its long side is uniform over the whole numbers
    in `scale_range` times `long_side`, its position uniform over the image or over those that show a pixel of a class.

    Source of `balanced_crops`: Isensee et al., "nnU-Net", 2021, oversampling of foreground.
    """
    height, width = mask.shape
    mirrored = augmentation.mirror and bool(rng.random() < 0.5)
    smallest, largest = (int(scale * long_side) for scale in augmentation.scale_range)
    drawn = int(rng.integers(smallest, largest, endpoint=True))
    scaled_height, scaled_width = _scaled(height, width, max(drawn, 1))
    most_top, most_left = max(scaled_height - crop_size, 0), max(scaled_width - crop_size, 0)
    top = int(rng.integers(0, most_top, endpoint=True))
    left = int(rng.integers(0, most_left, endpoint=True))
    blur = float(rng.random()) if rng.random() < augmentation.blur else 0.0
    balanced = augmentation.balanced_crops > 0 and rng.random() < augmentation.balanced_crops
    if balanced and (shown := _pixel_of_a_class(rng, mask)):
        column = width - 1 - shown[1] if mirrored else shown[1]
        # The scaled pixel on the middle of that pixel: one beside it may show its neighbour.
        row, column = (2 * shown[0] + 1) * scaled_height // (2 * height), (2 * column + 1) * scaled_width // (2 * width)
        top = min(max(row - int(rng.integers(crop_size)), 0), most_top)
        left = min(max(column - int(rng.integers(crop_size)), 0), most_left)
    angle = float(rng.uniform(-augmentation.rotation, augmentation.rotation)) if augmentation.rotation else 0.0
    upside_down = augmentation.upside_down and bool(rng.random() < 0.5)
    return Crop(height, width, scaled_height, scaled_width, top, left, crop_size, mirrored, blur, angle, upside_down)


def _pixel_of_a_class(rng: np.random.Generator, mask: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Row and column of a random pixel of a class drawn among those in a mask; None where nothing is labelled."""
    histogram = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    present = np.flatnonzero(histogram[:IGNORE])
    if not len(present):
        return None
    pixels = np.flatnonzero(mask.ravel() == rng.choice(present))
    row, column = divmod(int(rng.choice(pixels)), mask.shape[1])
    return row, column


def fixed_crop(height: int, width: int, base_size: int, crop_size: int) -> Crop:
    """The crop without chance: the long side is base_size, the position central, neither mirrored nor blurred."""
    scaled_height, scaled_width = _scaled(height, width, base_size)
    top = max(scaled_height - crop_size, 0) // 2
    left = max(scaled_width - crop_size, 0) // 2
    return Crop(height, width, scaled_height, scaled_width, top, left, crop_size)


def center_crop(height: int, width: int, crop_size: int) -> Crop:
    """The crop that GluonCV scores in validation: the short side becomes crop_size, the position is central."""
    if width > height:
        scaled_height, scaled_width = crop_size, width * crop_size // height
    else:
        scaled_height, scaled_width = height * crop_size // width, crop_size
    top, left = round((scaled_height - crop_size) / 2), round((scaled_width - crop_size) / 2)
    return Crop(height, width, scaled_height, scaled_width, top, left, crop_size)


def _scaled(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Height and width of an image whose long side becomes `long_side`; neither is less than one pixel."""
    if height > width:
        return long_side, max(int(width * long_side / height + 0.5), 1)
    return max(int(height * long_side / width + 0.5), 1), long_side
