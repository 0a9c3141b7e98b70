"""The shapes of the classes in one mask: how wide, how thin and in how many parts they are."""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

THIN: Final = 8.0  # pixels


@dataclass(frozen=True, eq=False)
class MaskShapes:
    """What one mask shows of each class, [C]; lengths in pixels of the mask. All is 0 for a class that it lacks."""

    pixels: NDArray[np.int64]
    widths: NDArray[np.float64]
    """Four times the mean distance to the edge: the width of a strip, two thirds of the diameter of a disc."""
    thin: NDArray[np.float64]  # share of its pixels in what is up to THIN wide
    parts: NDArray[np.int64]  # connected parts, also those that touch at corners alone

    @classmethod
    def of(cls, mask: NDArray[np.uint8], num_classes: int, thin: float = THIN) -> Self:
        """Measure a mask, uint8 [H, W] of classes, others being ignored. The border of the image is no edge; where a
        class is cut off by it, it counts as going on. Thin is what an opening with a disc of diameter `thin` removes.
        """
        distances = edge_distances(mask)
        thick = _within(distances > thin / 2, thin / 2)
        pixels = np.bincount(mask.ravel(), minlength=256)[:num_classes]
        shapes = cls(pixels, np.zeros(num_classes), np.zeros(num_classes), np.zeros(num_classes, np.int64))
        for index in np.flatnonzero(pixels):
            where = cv2.inRange(mask, int(index), int(index))
            shapes.widths[index] = 4 * cv2.mean(distances, where)[0]
            shapes.thin[index] = 1 - cv2.mean(thick, where)[0]
            left, top, width, height = cv2.boundingRect(where)
            shapes.parts[index] = cv2.connectedComponents(where[top : top + height, left : left + width])[0] - 1
        return shapes


def edge_distances(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The distance of each pixel to the nearest edge of its class, float32 [H, W]: half a pixel beside an edge. Where
    there is no edge it is half the mask's long side.
    """
    inside = np.ones(mask.shape, np.uint8)
    down, right = mask[:-1] == mask[1:], mask[:, :-1] == mask[:, 1:]
    inside[:-1] &= down
    inside[1:] &= down
    inside[:, :-1] &= right
    inside[:, 1:] &= right
    if inside.all():
        return np.full(mask.shape, max(mask.shape) / 2, np.float32)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32) + np.float32(0.5)


def _within(cores: NDArray[np.bool_], distance: float) -> NDArray[np.uint8]:
    """Whether each pixel lies within a distance of `cores`, [H, W]."""
    if not cores.any():
        return np.zeros(cores.shape, np.uint8)
    return np.asarray(cv2.distanceTransform((~cores).astype(np.uint8), cv2.DIST_L2, 5) <= distance).astype(np.uint8)
