"""How wide the classes of one mask are."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class MaskWidths:
    """What one mask shows of each class, [C]; lengths in pixels of the mask. Both are 0 for a class that it lacks."""

    pixels: NDArray[np.int64]
    widths: NDArray[np.float64]
    """Four times the mean distance to the edge: the width of a strip, two thirds of the diameter of a disc."""

    @classmethod
    def of(cls, mask: NDArray[np.uint8], num_classes: int) -> Self:
        """Measure a mask, uint8 [H, W] of classes, others being ignored. The border of the image is no edge; where a
        class is cut off by it, it counts as going on.
        """
        distances = edge_distances(mask)
        pixels = np.bincount(mask.ravel(), minlength=256)[:num_classes]
        shapes = cls(pixels, np.zeros(num_classes))
        for index in np.flatnonzero(pixels):
            where = cv2.inRange(mask, int(index), int(index))
            shapes.widths[index] = 4 * cv2.mean(distances, where)[0]
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
