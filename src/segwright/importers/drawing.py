"""A mask in the making: shapes are drawn one after the other, and those that cannot be are counted.

Knows which shapes are left out and in which words. Refuses to know where shapes come from.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from segwright.importers.dataset import Drawn
from segwright.importers.polygons import CUT_OFF, NO_PIXEL, Points, ShapeError, fill_polygon, reaches_beyond


def left_out(what: str) -> str:
    """The remark on shapes that are not drawn; `what` says in the plural what they are."""
    return f"{what}, left out"


class Drawing:
    """A mask of one value, uint8 [H, W], on which shapes are drawn."""

    def __init__(self, size: tuple[int, int], background: int) -> None:
        self.mask = np.full(size, background, np.uint8)
        self.remarks: Counter[str] = Counter()
        self.shapes = 0

    @contextmanager
    def leaving_out(self) -> Iterator[None]:
        """Count a shape under the words of the ShapeError that the block raises."""
        try:
            yield
        except ShapeError as error:
            self.leave_out(str(error))

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count shapes that are not drawn; `what` says in the plural what they are."""
        self.remarks[left_out(what)] += count

    def fill(self, outlines: Sequence[Points], value: int) -> None:
        """Set the pixels inside the outlines of one shape. Raises ShapeError where there are none."""
        if not sum(fill_polygon(self.mask, points, value) for points in outlines):
            raise ShapeError(NO_PIXEL)
        self.shapes += 1
        if any(reaches_beyond(points, *self.mask.shape) for points in outlines):
            self.remarks[CUT_OFF] += 1

    def paste(self, piece: NDArray[np.bool_], left: int, top: int, value: int) -> None:
        """Set the pixels of a piece [h, w] whose first corner lies at (left, top). Raises ShapeError where there are
        none.
        """
        inside = piece[max(-top, 0) :, max(-left, 0) :]
        target = self.mask[max(top, 0) :, max(left, 0) :]
        height, width = (min(sides) for sides in zip(inside.shape, target.shape, strict=True))
        if not inside[:height, :width].any():
            raise ShapeError(NO_PIXEL)
        self.shapes += 1
        target[:height, :width][inside[:height, :width]] = value

    def drawn(self) -> Drawn:
        """What was drawn."""
        return Drawn(self.mask, +self.remarks, self.shapes)
