"""Findings: what a careful colleague says of some data, a sentence each, with the cure.

Knows how a finding looks in every output, and the tables that findings are made from. Refuses to judge: what is
remarkable is in `remarks`, what looks like a wrong label map is in `suspicions`.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.mask_values import classes_of
from segwright.checks.scan import PairScan
from segwright.errors import DataError
from segwright.findings import Finding, gravest_first
from segwright.labels import LabelMap

logger = logging.getLogger(__name__)

_TOLD: Final = 5


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """A channel as it was read, N pairs, and the classes 0 to C - 1 that its pixel values mean."""

    channel: str
    readings: Sequence[PairScan]
    label_map: LabelMap
    num_classes: int
    """C; 0 where nobody knows the classes."""

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """Pixels by picture and class, [N, C + 2]; the last columns count those ignored and those of other classes."""
        pixels = np.zeros((len(self.readings), self.num_classes + 2), np.int64)
        if self.readings:
            classes = classes_of(np.concatenate([reading.values for reading in self.readings]), self.label_map)
            columns = np.where(classes < self.num_classes, classes, self.num_classes + 1)
            columns[classes < 0] = self.num_classes
            rows = np.repeat(np.arange(len(self.readings)), [len(reading.values) for reading in self.readings])
            np.add.at(pixels, (rows, columns), np.concatenate([reading.counts for reading in self.readings]))
        return pixels

    @property
    def by_class(self) -> NDArray[np.int64]:
        """Pixels by picture and class, [N, C]."""
        return self.pixels[:, : self.num_classes]

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """Labelled pixels of each class, [C]."""
        return np.asarray(self.by_class.sum(0))

    @cached_property
    def pictures(self) -> NDArray[np.int64]:
        """How many pictures show each class, [C]."""
        return np.asarray((self.by_class > 0).sum(0))

    @property
    def ignored_pixels(self) -> int:
        """Pixels of no class: 255 and those that the label map does not name."""
        return int(self.pixels[:, self.num_classes].sum())

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of each image, [N, 2]."""
        return np.array([reading.image_size for reading in self.readings], np.int64).reshape(-1, 2)

    def names(self, wanted: NDArray[np.bool_]) -> tuple[str, ...]:
        """The files of some images; `wanted` is [N]."""
        return image_names(self.readings[index] for index in np.flatnonzero(wanted).tolist())


def image_names(readings: Iterable[PairScan]) -> tuple[str, ...]:
    """The files of images."""
    return tuple(reading.pair.image.name for reading in readings)


def tell_each(*findings: Finding | None) -> None:
    """Log what was found: a warning, or a note as information. Raises DataError for an error."""
    for finding in filter(None, findings):
        if finding.severity == "error":
            raise DataError(str(finding))
        logger.log(logging.WARNING if finding.severity == "warning" else logging.INFO, "%s", finding)


def tell(findings: Iterable[Finding]) -> None:
    """Warn of what was found, at the start of a training: some lines at most. Notes are left to `inspect`."""
    grave = [finding for finding in gravest_first(findings) if finding.severity != "note"]
    for finding in grave[:_TOLD]:
        logger.warning("%s", finding)
    if len(grave) > _TOLD:
        logger.warning("and %d more findings: `segwright inspect` shows them all", len(grave) - _TOLD)
