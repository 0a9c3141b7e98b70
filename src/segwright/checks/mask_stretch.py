"""Masks whose numbers were stretched to the whole range of grey, each file by itself: 255 is another class in each.

Programs that show pictures do so (plt.imsave, ilastik's "renormalize", MATLAB's mat2gray, cv2.normalize): of classes 0
and 1 the 1 becomes 255, of classes 0 to 2 the 1 becomes 127. Masks that all hold numbers of one spread are another
thing: `suspicions` offers a label map for them. Refuses to guess what the numbers were.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.mask_values import label_map_place, listed_values
from segwright.checks.scan import PairScan
from segwright.errors import DataError
from segwright.labels import NO_DATA, LabelMap

EXPORT_ANEW: Final = "Export them anew as class numbers, without normalising (not with plt.imsave)."

_TOPS: Final = (255, 65535)  # of 8 and of 16 bits
_MOST_STEPS: Final = 32  # beyond it steps are so small that nearly any number is one
_NEARLY_ALL: Final = 0.95  # of the masks


@dataclass(frozen=True)
class Stretch:
    """What shows that masks were stretched file by file."""

    sentence: str
    certain: bool
    """Whether no single spread of numbers would explain all masks."""


@dataclass(frozen=True, eq=False)
class _Kind:
    """Masks that hold the same values."""

    values: NDArray[np.int64]
    """Ascending, [N]."""
    count: int
    example: PairScan

    @cached_property
    def steps(self) -> int:
        """In how many steps the values lead from 0 to the largest one, with half of the steps there; 0 for others."""
        if len(self.values) < 2:
            return 0
        top = int(self.values[-1])
        for steps in range(1, min(2 * len(self.values) - 1, _MOST_STEPS) + 1):
            even = np.rint(self.values * steps / top) * top / steps
            if np.abs(self.values - even).max() <= 1:  # some programs round, others cut off
                return steps
        return 0


def find_stretch(readings: Sequence[PairScan]) -> Stretch | None:
    """Whether nearly every mask reaches the largest number that a file can hold, in steps that differ from file to
    file.
    """
    kinds = list(_kinds(readings))
    top = max((int(kind.values[-1]) for kind in kinds), default=0)
    reaching = [kind for kind in kinds if kind.values[-1] == top]
    if top not in _TOPS or _masks(reaching) < _NEARLY_ALL * _masks(kinds):
        return None
    even = [kind for kind in reaching if kind.steps]
    uneven = [kind for kind in reaching if len(kind.values) > 1 and not kind.steps]
    coarse, fine = (pick(even, key=lambda kind: kind.steps, default=None) for pick in (min, max))
    if coarse is None or fine is None or coarse.steps == fine.steps:
        return None
    if _masks(uneven) > _masks(kind for kind in even if kind.steps > 1):
        return None
    union = _Kind(np.unique(np.concatenate([kind.values for kind in even])), 0, fine.example)
    holding = ", ".join(f"{kind.example.pair.mask.name} holds {listed_values(kind.values)}" for kind in (coarse, fine))
    return Stretch(
        f"the highest value of each mask is {top} whatever its classes: they were stretched file by file and cannot be "
        f"told apart ({holding})",
        certain=union.steps + 1 != len(union.values),
    )


def check_not_stretched(readings: Sequence[PairScan], label_map: LabelMap, channel: str) -> None:
    """Raise DataError for masks that were stretched file by file, where no label map says what their values mean."""
    if label_map.scale != 1 or (stretch := find_stretch(readings)) is None:
        return
    way_out = (
        ""
        if stretch.certain
        else " Only if each value does mean the same in all of them, say so with a label map that names them, "
        f"{label_map_place(channel)}."
    )
    raise DataError(f"{channel}: {stretch.sentence}. {EXPORT_ANEW}{way_out}")


def _kinds(readings: Sequence[PairScan]) -> Iterator[_Kind]:
    """The different sets of values; masks of 0 alone are left out, since they are the same stretched or not."""
    examples = {reading.values.tobytes(): reading for reading in reversed(readings)}
    for kind, count in Counter(reading.values.tobytes() for reading in readings).items():
        values = np.frombuffer(kind, np.int64)
        values = values[values != NO_DATA]
        if values.any():
            yield _Kind(values, count, examples[kind])


def _masks(kinds: Iterable[_Kind]) -> int:
    return sum(kind.count for kind in kinds)
