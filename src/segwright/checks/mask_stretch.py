"""Masks whose numbers were stretched to the whole range of grey, each file by itself: 255 is another class in each.

plt.imsave, mat2gray and cv2.normalize do so: of classes 0 and 1 the 1 becomes 255, of 0 to 2 the 1 becomes 127.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel_statistics import ScannedChannel
from segwright.checks.mask_values import label_map_location, listed_values
from segwright.checks.scan import PairScan
from segwright.findings import Finding
from segwright.labels import NO_DATA

EXPORT_ANEW: Final = "Export them anew as class numbers, without normalising (not with plt.imsave)."

_TOPS: Final = (255, 65535)  # of 8 and of 16 bits
_MOST_STEPS: Final = 32  # beyond it steps are so small that nearly any number is one
_NEARLY_ALL: Final = 0.95  # of the masks


class Stretch(NamedTuple):
    """What shows that masks were stretched file by file."""

    sentence: str
    certain: bool  # whether no single spread of numbers would explain all masks


@dataclass(frozen=True, eq=False)
class _ValueSet:
    """Masks that hold the same values."""

    values: NDArray[np.int64]  # ascending, [N]
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


def stretched(masks: ScannedChannel) -> Iterator[Finding]:
    """Refuses masks that were stretched file by file, where no label map says what their values mean."""
    if masks.label_map.scale != 1 or (found := find_stretch(masks.scans)) is None:
        return
    cure = " Only if each value does mean the same in all of them, say so with a label map that names them"
    cure = "" if found.certain else f"{cure}, {label_map_location(masks.channel)}."
    yield Finding("stretched", "error", masks.channel, f"{found.sentence}.", EXPORT_ANEW + cure)


def find_stretch(scans: Sequence[PairScan]) -> Stretch | None:
    """Whether nearly every mask reaches the largest number of its type, in steps that differ from file to file."""
    kinds = list(_value_sets(scans))
    top = max((int(kind.values[-1]) for kind in kinds), default=0)
    reaching = [kind for kind in kinds if kind.values[-1] == top]
    if top not in _TOPS or sum(kind.count for kind in reaching) < _NEARLY_ALL * sum(kind.count for kind in kinds):
        return None
    even = [kind for kind in reaching if kind.steps]
    coarse, fine = (pick(even, key=lambda kind: kind.steps, default=None) for pick in (min, max))
    if coarse is None or fine is None or coarse.steps == fine.steps:
        return None
    uneven = sum(kind.count for kind in reaching if len(kind.values) > 1 and not kind.steps)
    if uneven > sum(kind.count for kind in even if kind.steps > 1):
        return None
    union = _ValueSet(np.unique(np.concatenate([kind.values for kind in even])), 0, fine.example)
    holding = ", ".join(f"{kind.example.pair.mask.name} holds {listed_values(kind.values)}" for kind in (coarse, fine))
    return Stretch(
        f"the highest value of each mask is {top} whatever its classes: they were stretched file by file and cannot be "
        f"told apart ({holding})",
        certain=union.steps + 1 != len(union.values),
    )


def _value_sets(scans: Sequence[PairScan]) -> Iterator[_ValueSet]:
    """The different sets of values; masks of 0 alone are left out, since they are the same stretched or not."""
    examples = {scan.values.tobytes(): scan for scan in reversed(scans)}
    for kind, count in Counter(scan.values.tobytes() for scan in scans).items():
        values = examples[kind].values
        values = values[values != NO_DATA]
        if values.any():
            yield _ValueSet(values, count, examples[kind])
