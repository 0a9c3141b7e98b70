"""Runs of pixels as pairs of a start and a length, drawn into masks.

Knows both ways that pixels may be counted, down the columns and along the rows. Refuses to know tables and files.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.importers.canvas import MismatchError

_LARGEST: Final = 1 << 40  # no pixel of a picture has such a number
_LONGEST: Final = 60  # characters of a value in a message


@dataclass(frozen=True, eq=False)
class Runs:
    """Starts and lengths, int64 [N] each; starts ascend."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def area(self) -> int:
        """How many pixels they cover."""
        return int(self.lengths.sum())


class OverlapError(DataError):
    """Runs that do not follow one another: starts may be counted otherwise."""


def parse_runs(text: str) -> Runs:
    """The runs of a text `start length start length ...`; commas and brackets count as spaces.

    Raises DataError for what are no whole numbers, for an odd count of them, for negative ones, and for runs that
    do not follow one another.
    """
    words = re.sub(r"[\[\](),;]", " ", text).split()
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    try:
        numbers = np.array([int(word) for word in words], np.int64)
    except (ValueError, OverflowError):
        raise DataError(f"{shown!r} is not a list of starts and lengths, such as 1 3 97 3.") from None
    if len(numbers) % 2:
        raise DataError(f"{shown!r} has {len(numbers)} numbers; each start needs a length.")
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) > _LARGEST:
        raise DataError(f"{shown!r} has the number {numbers.min()}; starts and lengths are 0 or more.")
    starts, lengths = numbers[::2], numbers[1::2]
    if (starts[1:] < starts[:-1] + lengths[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, lengths = starts[order], lengths[order]
        if (starts[1:] < starts[:-1] + lengths[:-1]).any():
            raise OverlapError(
                f"{shown!r} has runs that overlap; starts are numbers of pixels, not distances from the run before."
            )
    return Runs(starts, lengths)


def guess_order(runs: Runs, height: int, width: int) -> Mapping[bool, int]:
    """How many runs lie beside the one before if they go along the rows (True), and if down the columns (False).

    The runs of one object lie side by side, a row's or a column's length apart. A picture with equal sides shows
    nothing.
    """
    if height == width or len(runs.starts) < 2:
        return {}
    steps, reach = np.diff(runs.starts), np.maximum(runs.lengths[1:], runs.lengths[:-1])
    fits = {rows: np.abs(steps - split) <= reach for rows, split in ((True, width), (False, height))}
    return Counter({rows: int((fits[rows] & ~fits[not rows]).sum()) for rows in fits})


def draw_runs(
    objects: Sequence[tuple[int, Runs, int]], size: tuple[int, int], *, along_rows: bool, first: int, where: str
) -> NDArray[np.uint8]:
    """The mask of objects (class, runs, line of the table), uint8 [H, W] of `size`; smaller objects lie over larger
    ones, and 0 is where none lies.

    `first` is the number of the first pixel. Raises MismatchError for runs that reach beyond the picture.
    """
    height, width = size
    pixels = np.zeros(height * width, np.uint8)
    for number, runs, line in sorted(objects, key=lambda entry: -entry[1].area):
        starts, ends = runs.starts - first, runs.starts - first + runs.lengths
        if ends.max(initial=0) > pixels.size:
            raise MismatchError(
                f"{where}, line {line}: a run ends at pixel {int(ends.max()):,}, but the image has {pixels.size:,} "
                f"({width}x{height}): give the images at the size at which they were labelled."
            )
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            pixels[start:end] = number
    return pixels.reshape(height, width) if along_rows else np.ascontiguousarray(pixels.reshape(width, height).T)
