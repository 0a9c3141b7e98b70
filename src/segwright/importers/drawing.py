"""Masks drawn shape by shape, or read; shapes that cannot be drawn are counted.

The pixel in row r and column c covers the square from (c, r) to (c + 1, r + 1), and belongs to a shape when its centre
lies inside; where a shape crosses itself, every second region is inside. What lies outside of the image is cut off.

Source: the same rule as in COCO's `rleFrPoly` (`common/maskApi.c`), which rounds to fifths of a pixel; here
nothing is rounded.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.masks import decode_mask
from segwright.importers.geometry import ImageGeometry, MismatchError
from segwright.storage import Blob
from segwright.wording import counted

TOO_FEW_POINTS: Final = "polygons of fewer than three points"
NOWHERE: Final = "shapes with points that are no numbers or lie more than a million pixels away"
NO_PIXEL: Final = "shapes that cover no pixel, as they have no area or lie outside of the image"
TOO_LONG: Final = "shapes that cross more than four million rows of pixels"
CUT_OFF: Final = "shapes that reach beyond the image, cut off at its edge"

_FARTHEST: Final = 1e6  # pixels; no image reaches as far
_MOST_CROSSINGS: Final = 4_000_000  # a quarter of a gigabyte; the longest outlines drawn by hand cross 100,000 rows
_ELLIPSE_POINTS: Final = 360  # off by 0.04 pixels where the radius is 1000
_OVERHANG: Final = 1.0  # pixels beyond the edge that are not worth a word

Points = NDArray[np.float64]


class ShapeError(DataError):
    """A shape that cannot be drawn; the message says in the plural what such shapes are, to count them."""


@dataclass(eq=False)
class Drawing:
    """A mask, read or drawn, and what happened on the way."""

    mask: NDArray[np.uint8]  # class indices, [H, W] as `ImageGeometry.size`; 255 = ignore
    notes: Counter[str] = field(default_factory=Counter)
    """What was left out or changed, in the plural, and how often; each note of a data set becomes one warning."""
    shapes: int | None = None  # how many shapes were drawn; None for a mask that was read

    @classmethod
    def blank(cls, size: tuple[int, int], background: int) -> Self:
        """A mask of one value to draw on."""
        return cls(np.full(size, background, np.uint8), shapes=0)

    @contextmanager
    def leaving_out(self, unreadable: str = "") -> Iterator[None]:
        """Count a shape for which the block raises ShapeError, or where `unreadable` names it, another DataError."""
        try:
            yield
        except DataError as error:
            if not isinstance(error, ShapeError) and not unreadable:
                raise
            self.leave_out(str(error) if isinstance(error, ShapeError) else unreadable)

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count shapes that are not drawn; `what` says in the plural what they are."""
        self.notes[left_out_note(what)] += count

    def fill(self, outlines: Sequence[Points], value: int) -> None:
        """Set the pixels inside the outlines of one shape. Raises ShapeError where there are none."""
        if not sum(fill_polygon(self.mask, points, value) for points in outlines):
            raise ShapeError(NO_PIXEL)
        self.shapes = (self.shapes or 0) + 1
        low, high = -_OVERHANG, np.array(self.mask.shape[::-1]) + _OVERHANG
        self.notes[CUT_OFF] += any(points.min() < low or (points.max(0) > high).any() for points in outlines)

    def paste(self, piece: NDArray[np.bool_], left: int, top: int, value: int) -> None:
        """Set the pixels of a piece [h, w] with its corner at (left, top). Raises ShapeError where there are none."""
        inside = piece[max(-top, 0) :, max(-left, 0) :]
        target = self.mask[max(top, 0) :, max(left, 0) :]
        height, width = np.minimum(inside.shape, target.shape)
        if not inside[:height, :width].any():
            raise ShapeError(NO_PIXEL)
        self.shapes = (self.shapes or 0) + 1
        target[:height, :width][inside[:height, :width]] = value


def left_out_note(what: str) -> str:
    """The note on shapes that are not drawn."""
    return f"{what}, left out"


def draw_by_number(mask: Blob, geometry: ImageGeometry, classes: Mapping[int, int], cure: str) -> Drawing:
    """Read a mask; `classes` gives the class of each number, 255 where it is ignored.

    Raises MismatchError for a mask of another size, and for a number that `classes` lacks, with the `cure`.
    """
    numbers = decode_mask(mask.read(), mask.name).numbers
    geometry.check_size(numbers.shape, mask.name)
    present: list[int] = np.unique(numbers).tolist()
    if strange := [number for number in present if number not in classes]:
        count = (numbers == strange[0]).sum()
        raise MismatchError(f"{mask.name} holds the value {strange[0]} in {counted(count, 'pixel')}; {cure}")
    lookup = np.zeros(1 << 16, np.uint8)
    lookup[present] = [classes[number] for number in present]
    return Drawing(lookup[numbers])


def outline(points: Sequence[Sequence[float]]) -> Points:
    """The outline through points (x, y), float64 [N, 2]; ShapeError for fewer than three, or any far from an image."""
    if len(points) < 3:
        raise ShapeError(TOO_FEW_POINTS)
    found = np.array(points, np.float64)
    if not (np.isfinite(found).all() and np.abs(found).max() <= _FARTHEST):
        raise ShapeError(NOWHERE)
    return found


def rectangle(corner: Sequence[float], opposite: Sequence[float]) -> Points:
    """The outline of a rectangle by two opposite corners (x, y)."""
    (left, top), (right, bottom) = corner, opposite
    return outline([(left, top), (right, top), (right, bottom), (left, bottom)])


def ellipse(centre: Sequence[float], across: float, down: float) -> Points:
    """The outline of an ellipse by its centre and its radii across and down."""
    angles = 2 * np.pi * np.arange(_ELLIPSE_POINTS) / _ELLIPSE_POINTS
    points = np.stack([centre[0] + across * np.cos(angles), centre[1] + down * np.sin(angles)], axis=1)
    return outline(points.tolist())


def area(points: Points) -> float:
    """The area inside an outline that does not cross itself, in pixels."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def fill_polygon(mask: NDArray[np.uint8], points: Points, value: int) -> bool:
    """Set the pixels of a mask [H, W] inside an outline, in place; returns whether there are any. Raises ShapeError."""
    rows, columns = _crossings(points - 0.5, *mask.shape)
    if not len(rows):
        return False
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max()
    turns = np.zeros((bottom - top, right - left + 1), np.uint8)
    np.bitwise_xor.at(turns, (rows - top, columns - left), 1)
    inside = np.bitwise_xor.accumulate(turns, axis=1)[:, :-1].view(np.bool_)
    mask[top:bottom, left:right][inside] = value
    return bool(inside.any())


def _crossings(points: Points, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows whose centre lines an outline crosses, and the first columns at or beyond; row 3 lies at y = 3."""
    x, y = points.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    first = np.ceil(np.minimum(y, next_y)).clip(0, height).astype(np.int64)
    end = np.ceil(np.maximum(y, next_y)).clip(0, height).astype(np.int64)
    counts = end - first
    total = int(counts.sum())
    if total > _MOST_CROSSINGS:
        raise ShapeError(TOO_LONG)
    edge = np.repeat(np.arange(len(points)), counts)
    rows = np.arange(total) + np.repeat(first - np.cumsum(counts) + counts, counts)
    slope = (next_x - x)[edge] / (next_y - y)[edge]
    columns = np.ceil(x[edge] + (rows - y[edge]) * slope).clip(0, width).astype(np.int64)
    return rows, columns
