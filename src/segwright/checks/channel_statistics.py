"""What the pairs of a channel hold together: pixel values, classes, sizes and formats."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from segwright.checks.pixel_statistics import BandStatistics
from segwright.checks.scan import PairScan, image_names
from segwright.data.pairs import Pair
from segwright.formats.pixels import RGB, PixelFormat
from segwright.labels import IGNORE, NO_DATA, LabelMap

_RARE: Final = 0.2  # of an even share of the pixels


def classes_of(values: NDArray[np.int64], label_map: LabelMap) -> NDArray[np.int64]:
    """The class of each pixel value, [N]; -1 for ignore. Unlike in a mask, a class may be any number here."""
    if label_map.scale is not None:
        return np.where((values == IGNORE) | (values == NO_DATA), -1, values // label_map.scale)
    classes = label_map.apply(values).astype(np.int64)
    return np.where(classes == IGNORE, -1, classes)


@dataclass(frozen=True, eq=False)
class ScannedChannel:
    """The scans of a channel, N pairs, and the label map of its masks."""

    channel: str
    label_map: LabelMap
    scans: Sequence[PairScan]

    def _joined(self, name: str) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *(getattr(scan, name) for scan in self.scans)])

    @cached_property
    def values(self) -> NDArray[np.int64]:
        """The different pixel values of the masks, [V], ascending; -1 is no data."""
        return np.unique(self._joined("values"))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many pixels have each value, [V]."""
        where = np.searchsorted(self.values, self._joined("values"))
        return np.bincount(where, self._joined("counts"), len(self.values)).astype(np.int64)

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """The class of each value, [V]; -1 for ignore."""
        return classes_of(self.values, self.label_map)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The values but no data, ascending."""
        return np.asarray(self.values[self.values != NO_DATA])

    @property
    def names_255(self) -> bool:
        """Whether the label map gives 255 a class."""
        return any(pixel == IGNORE for pixel, _ in self.label_map.values or ())


@dataclass(frozen=True, eq=False)
class ChannelStatistics(ScannedChannel):
    """What the readable pairs of a channel hold, with classes from 0 to num_classes - 1."""

    num_classes: int  # 0 where the classes are not known
    pairs: tuple[Pair, ...]  # the readable pairs, sorted by key: those to train on
    left_out: tuple[str, ...]  # a sentence for each file without a partner and each pair that cannot be read
    image_sizes: tuple[tuple[tuple[int, int], int], ...]  # ((height, width), pairs), the most frequent first
    histogram: NDArray[np.int64]  # labelled pixels of each class, [C]
    ignored_pixels: int  # pixels of no class: no data, 255 and those that the label map does not name
    unmapped: dict[int, int]  # pixels of each pixel value that the label map does not name
    fingerprint: str  # a hash over keys and file bytes, whatever the order and folder of the files; empty for a stream
    pixel_format: PixelFormat  # what the pixels of the images are read as; where they differ, the first one's
    bands: BandStatistics | None  # mean and spread of the bands, where they are not plain 8-bit colour
    complete: bool = True  # whether all pairs were read: False for a stream, of which only the first were

    @classmethod
    def of(cls, scanned: ScannedChannel, num_classes: int, left_out: tuple[str, ...] = ()) -> Self:
        """Summarise a channel; `num_classes` is 0 where the classes are not known."""
        scans, values, counts, classes = scanned.scans, scanned.values, scanned.counts, scanned.classes
        unmapped = np.isin(values, scanned.label_map.unmapped(values))
        sizes = Counter(scan.image_size for scan in scans)
        pixel_format = scans[0].pixel_format if scans else RGB
        sums = [scan.sums for scan in scans if scan.sums is not None and scan.pixel_format == pixel_format]
        return cls(
            channel=scanned.channel,
            label_map=scanned.label_map,
            scans=scans,
            num_classes=num_classes,
            pairs=tuple(scan.pair for scan in scans),
            left_out=left_out,
            image_sizes=tuple(sorted(sizes.items(), key=lambda entry: (-entry[1], entry[0]))),
            histogram=np.array([counts[classes == index].sum() for index in range(num_classes)], np.int64),
            ignored_pixels=int(counts[classes < 0].sum()),
            unmapped=dict(zip(values[unmapped].tolist(), counts[unmapped].tolist(), strict=True)),
            fingerprint=hashlib.sha256(b"".join(sorted(scan.digest for scan in scans))).hexdigest(),
            pixel_format=pixel_format,
            bands=BandStatistics.of(sums, pixel_format.dtype) if sums else None,
        )

    def without_scans(self, *, complete: bool) -> Self:
        """What is kept after the check; of a stream, which is not `complete`, the pairs are dropped as well."""
        pairs, fingerprint = (self.pairs, self.fingerprint) if complete else ((), "")
        return replace(self, scans=(), complete=complete, pairs=pairs, fingerprint=fingerprint)

    @property
    def absent_classes(self) -> tuple[int, ...]:
        """Classes without a labelled pixel."""
        return tuple(np.flatnonzero(self.histogram == 0).tolist())

    @property
    def rare_classes(self) -> NDArray[np.bool_]:
        """Whether a class has so few of the labelled pixels that it is easily never predicted, [C]."""
        rare: NDArray[np.bool_] = self.histogram * self.num_classes < _RARE * self.histogram.sum()
        return rare & (self.histogram > 0)

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """Pixels by image and class, [N, C + 2]; the last columns count those ignored and those of other classes."""
        pixels = np.zeros((len(self.scans), self.num_classes + 2), np.int64)
        classes = classes_of(self._joined("values"), self.label_map)
        columns = np.where(classes < self.num_classes, classes, self.num_classes + 1)
        columns[classes < 0] = self.num_classes
        rows = np.repeat(np.arange(len(self.scans)), np.array([len(scan.values) for scan in self.scans], int))
        np.add.at(pixels, (rows, columns), self._joined("counts"))
        return pixels

    @property
    def by_class(self) -> NDArray[np.int64]:
        """Pixels by image and class, [N, C]."""
        return self.pixels[:, : self.num_classes]

    @cached_property
    def images_with_class(self) -> NDArray[np.int64]:
        """How many images show each class, [C]."""
        return np.asarray((self.by_class > 0).sum(0))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of each image, [N, 2]."""
        return np.array([scan.image_size for scan in self.scans], np.int64).reshape(-1, 2)

    @property
    def forms(self) -> tuple[str, ...]:
        """The formats of the images, in words."""
        return tuple(sorted({str(scan.pixel_format) for scan in self.scans}))

    def names(self, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        """The files of some images; `chosen` is [N]."""
        return image_names(self.scans[index] for index in np.flatnonzero(chosen).tolist())

    def to_json(self) -> dict[str, Any]:
        """What a bundle keeps of it, as plain values."""
        return {
            "pairs": len(self.pairs) if self.complete else None,
            "left_out": list(self.left_out),
            "sizes": [{"height": h, "width": w, "pairs": count} for (h, w), count in self.image_sizes],
            "num_classes": self.num_classes,
            "histogram": self.histogram.tolist(),
            "ignored_pixels": self.ignored_pixels,
            "unmapped": {str(value): count for value, count in self.unmapped.items()},
            "absent_classes": list(self.absent_classes),
            "fingerprint": self.fingerprint,
            "bands": self.pixel_format.bands,
            "bit_depth": self.pixel_format.bit_depth,
            "numbers": self.pixel_format.numbers,
            "complete": self.complete,
        }
