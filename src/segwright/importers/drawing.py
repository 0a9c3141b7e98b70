"""A mask in the making: shapes are drawn one after the other, and those that cannot be drawn are counted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.masks import decode_mask
from segwright.importers.canvas import Canvas, MismatchError
from segwright.importers.polygons import CUT_OFF, NO_PIXEL, Points, ShapeError, fill_polygon, reaches_beyond
from segwright.storage import Blob


@dataclass(eq=False)
class Drawing:
    """A mask, read or drawn, and what happened on the way."""

    mask: NDArray[np.uint8]
    """Class indices, [H, W] as `Canvas.size`; 255 = ignore."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was left out or changed, in the plural, and how often; each note of a data set becomes one warning."""
    shapes: int | None = None
    """How many shapes were drawn; None for a mask that was read."""

    @classmethod
    def blank(cls, size: tuple[int, int], background: int) -> Self:
        """A mask of one value to draw on."""
        return cls(np.full(size, background, np.uint8), shapes=0)

    @contextmanager
    def leaving_out(self, unreadable: str = "") -> Iterator[None]:
        """Count a shape under the words of the ShapeError that the block raises, or as `unreadable` where it raises
        another DataError.
        """
        try:
            yield
        except DataError as error:
            if not isinstance(error, ShapeError) and not unreadable:
                raise
            self.leave_out(str(error) if isinstance(error, ShapeError) else unreadable)

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count shapes that are not drawn; `what` says in the plural what they are."""
        self.notes[left_out(what)] += count

    def fill(self, outlines: Sequence[Points], value: int) -> None:
        """Set the pixels inside the outlines of one shape. Raises ShapeError where there are none."""
        if not sum(fill_polygon(self.mask, points, value) for points in outlines):
            raise ShapeError(NO_PIXEL)
        self.shapes = (self.shapes or 0) + 1
        self.notes[CUT_OFF] += any(reaches_beyond(points, *self.mask.shape) for points in outlines)

    def paste(self, piece: NDArray[np.bool_], left: int, top: int, value: int) -> None:
        """Set the pixels of a piece [h, w] whose first corner lies at (left, top). Raises ShapeError where there are
        none.
        """
        inside = piece[max(-top, 0) :, max(-left, 0) :]
        target = self.mask[max(top, 0) :, max(left, 0) :]
        height, width = (min(sizes) for sizes in zip(inside.shape, target.shape, strict=True))
        if not inside[:height, :width].any():
            raise ShapeError(NO_PIXEL)
        self.shapes = (self.shapes or 0) + 1
        target[:height, :width][inside[:height, :width]] = value


def left_out(what: str) -> str:
    """The note on shapes that are not drawn."""
    return f"{what}, left out"


def draw_by_number(mask: Blob, canvas: Canvas, classes: Mapping[int, int], cure: str) -> Drawing:
    """Read a mask; `classes` gives the class of each number, 255 where it is ignored.

    Raises MismatchError for a mask of another size, and for a number that `classes` lacks, with the `cure`.
    """
    numbers = decode_mask(mask.read(), mask.name).numbers
    canvas.check_size(numbers.shape, mask.name)
    present: list[int] = np.unique(numbers).tolist()
    if strange := [number for number in present if number not in classes]:
        count = (numbers == strange[0]).sum()
        raise MismatchError(f"{mask.name} holds the value {strange[0]} in {count:,} pixels; {cure}")
    lookup = np.zeros(1 << 16, np.uint8)
    lookup[present] = [classes[number] for number in present]
    return Drawing(lookup[numbers])
