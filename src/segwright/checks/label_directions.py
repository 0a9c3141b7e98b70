"""Whether labels have an up, a left or a direction, so that images turned over, mirrored or rotated are wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

ENOUGH_IMAGES: Final = 8

_BLOCKS: Final = 10  # of images that are neighbours in the list, as frames of a film are
_ENOUGH_BLOCKS: Final = 5  # in which a class occurs
_ERRORS: Final = 5.0  # standard errors of the mean over blocks that chance does not reach
_UP: Final = 0.2  # (one - other) / (one + other), of pixels or of borders
_LEFT: Final = 0.7
_DIRECTION: Final = 0.2
_TOO_FEW: Final = f"fewer than {ENOUGH_IMAGES} images cannot tell"


class Verdict(NamedTuple):
    """Whether labels have a property, and the class and figure that say so."""

    holds: bool
    reason: str


class Comparison(NamedTuple):
    """Two counts of a class whose balance says something about directions, and what it means if one is the larger."""

    one: int  # columns of DirectionCounts
    other: int
    one_larger: str  # about a class and a percentage
    other_larger: str


_IN_HALF: Final = "{} has {:.0%} of its pixels in the SIDE half"
_BORDERS: Final = "{} is the SIDE class at {:.0%} of its borders in that direction"
_RUNS: Final = "{} has {:.0%} of its borders running SIDE"


def _compare(one: int, other: int, text: str, *sides: str) -> Comparison:
    return Comparison(one, other, *(text.replace("SIDE", side) for side in sides))


_UP_COMPARISONS: Final = (_compare(0, 1, _IN_HALF, "top", "bottom"), _compare(4, 5, _BORDERS, "upper", "lower"))
_LEFT_COMPARISONS: Final = (_compare(2, 3, _IN_HALF, "left", "right"), _compare(6, 7, _BORDERS, "left", "right"))
_DIRECTION_COMPARISONS: Final = (_compare(8, 9, _RUNS, "horizontally", "vertically"),)


@dataclass(frozen=True, eq=False)
class DirectionCounts:
    """Pixels of each class in the halves of masks, and pairs of neighbours of two classes, int64 [C, 10].

    The columns are pixels in the top, bottom, left and right half; neighbours where the class is above, below, left and
    right of another one; and those at horizontal and at vertical borders.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, mask: NDArray[np.uint8], num_classes: int) -> Self:
        """Count a mask, uint8 [H, W] of classes, others being ignored; a middle row or column is in no half."""

        def count(classes: NDArray[np.uint8]) -> NDArray[np.int64]:
            return np.bincount(classes.ravel(), minlength=256)[:num_classes]

        height, width = mask.shape
        columns = [count(mask[: height // 2]), count(mask[height - height // 2 :])]
        columns += [count(mask[:, : width // 2]), count(mask[:, width - width // 2 :])]
        for first, second in ((mask[:-1], mask[1:]), (mask[:, :-1], mask[:, 1:])):
            border = (first != second) & (np.maximum(first, second) < num_classes)
            columns += [count(first[border]), count(second[border])]
        columns += [columns[4] + columns[5], columns[6] + columns[7]]
        return cls(np.stack(columns, 1))


def judge_directions(masks: Sequence[DirectionCounts], class_names: Sequence[str]) -> tuple[Verdict, Verdict, Verdict]:
    """Whether labels have an up, a left and a direction, from masks in the order of their channel, as evenly as they
    come. Too few masks have an up and a direction, for a wrong rotation costs more than one that is left out.

    A class decides if the mean of a balance over blocks of neighbouring images is large and beyond chance: five times
    its standard error. Frames of one film are neighbours, so that blocks are less dependent than images.
    """
    if len(masks) < ENOUGH_IMAGES:
        return Verdict(True, _TOO_FEW), Verdict(False, _TOO_FEW), Verdict(True, _TOO_FEW)
    counts = np.stack([mask.counts for mask in masks])
    blocks = np.stack([block.sum(0) for block in np.array_split(counts, min(_BLOCKS, len(counts)))])
    questions = (
        (_UP_COMPARISONS, _UP, "no class prefers top or bottom"),
        (_LEFT_COMPARISONS, _LEFT, "no class is always left or right"),
        (_DIRECTION_COMPARISONS, _DIRECTION, "no class has borders of one direction"),
    )
    up, left, direction = (
        max(_evidence(blocks, comparisons, least, class_names), key=itemgetter(0), default=(0, Verdict(False, no)))[1]
        for comparisons, least, no in questions
    )
    return up, left, direction


def _evidence(
    blocks: NDArray[np.int64], comparisons: Sequence[Comparison], least: float, class_names: Sequence[str]
) -> Iterator[tuple[float, Verdict]]:
    """The classes that decide a question, each with the size of its balance."""
    for one, other, one_larger, other_larger in comparisons:
        for index, name in enumerate(class_names):
            pair = blocks[:, index, [one, other]]
            pair = pair[pair.sum(1) > 0]
            if len(pair) < _ENOUGH_BLOCKS:
                continue
            balances = (pair[:, 0] - pair[:, 1]) / pair.sum(1)
            mean, error = float(balances.mean()), float(balances.std(ddof=1)) / len(pair) ** 0.5
            if abs(mean) > max(least, _ERRORS * error):
                text = one_larger if mean > 0 else other_larger
                yield abs(mean), Verdict(True, text.format(name, (1 + abs(mean)) / 2))
