"""The data check: all pairs of a channel are read once before anything is trained or scored on them.

Knows which findings are refused, which are a warning and which are only counted, and in what order they are
told. The rules for pixel values live in `mask_rules`, the reading in `readings`.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.findings import tell_each
from segwright.checks.image_orientation import orientation_finding
from segwright.checks.mask_palettes import palette_finding
from segwright.checks.mask_stretch import check_not_stretched
from segwright.checks.mask_values import (
    check_any_labelled,
    check_class_count,
    check_class_range,
    check_sizes_match,
    classes_of,
    infer_num_classes,
    unmapped_sentence,
)
from segwright.checks.pixel_notes import pixel_findings
from segwright.checks.pixel_statistics import AS_THEY_ARE, BandStatistics, RequestedFormat, band_statistics, settle_form
from segwright.checks.scan import PairScan, combine, fingerprint, scan_pairs
from segwright.data.pairs import Pair, Pairing
from segwright.errors import DataError
from segwright.formats.masks import PaletteClasses
from segwright.formats.palettes import mask_palette
from segwright.formats.pixels import PixelFormat
from segwright.labels import LabelMap
from segwright.wording import counted, sentences

logger = logging.getLogger(__name__)

_NAMED: Final = 5


@dataclass(frozen=True, eq=False)
class DataReport:
    """What the pairs of a channel hold. Classes are 0 to num_classes - 1, after the label map."""

    pairs: tuple[Pair, ...]
    """The readable pairs, sorted by key: those to train on."""
    left_out: tuple[str, ...]
    """A sentence for each file without a partner and each pair that cannot be read."""
    sizes: tuple[tuple[tuple[int, int], int], ...]
    """((height, width), number of pairs), the most frequent size first."""
    num_classes: int
    histogram: NDArray[np.int64]
    """Labelled pixels of each class, [C]."""
    ignored_pixels: int
    """Pixels of no class: 255 and those that the label map does not name."""
    unmapped: dict[int, int]
    """Pixels of each pixel value that the label map does not name."""
    absent_classes: tuple[int, ...]
    """Classes without a labelled pixel."""
    palette: NDArray[np.uint8] | None
    """The colours of the classes in the masks' own palette, [C, 3]; None without a usable one."""
    fingerprint: str
    """A hash over keys and file bytes, whatever the order and place of the files; empty for a stream."""
    form: PixelFormat
    """What the pixels of the images are read as."""
    bands: BandStatistics | None
    """Mean and spread of the bands, where they are not plain 8-bit colour."""
    readings: tuple[PairScan, ...] = ()
    """What was found in each pair, in the order of `pairs`; empty once findings were made of it."""
    complete: bool = True
    """Whether all pairs were read: False for a stream, of which only the first were."""

    def of_a_stream(self) -> "DataReport":
        """The same report where these pairs are the first of a stream, which will deliver them once more."""
        return replace(self, pairs=(), fingerprint="", readings=(), complete=False)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values, with the number of pairs in place of the pairs."""
        return {
            "pairs": len(self.pairs) if self.complete else None,
            "left_out": list(self.left_out),
            "sizes": [{"height": h, "width": w, "pairs": count} for (h, w), count in self.sizes],
            "num_classes": self.num_classes,
            "histogram": self.histogram.tolist(),
            "ignored_pixels": self.ignored_pixels,
            "unmapped": {str(value): count for value, count in self.unmapped.items()},
            "absent_classes": list(self.absent_classes),
            "fingerprint": self.fingerprint,
            "bands": self.form.bands,
            "bit_depth": self.form.bit_depth,
            "numbers": self.form.numbers,
            "complete": self.complete,
        }


def check_pairs(
    pairing: Pairing,
    label_map: LabelMap | None,
    num_classes: int | None,
    *,
    channel: str,
    wish: RequestedFormat = AS_THEY_ARE,
    strict: bool = False,
    void_is_known: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read all pairs once, in parallel, and report what they hold.

    `label_map` None means that pixel values are classes. `num_classes` None takes it from the label map, else from
    the largest class in the masks; 2 to 254 are allowed. `channel` names the channel in messages. `strict` refuses
    what is otherwise left out or ignored with a warning. `void_is_known` says that 255 means void in masks of the same
    origin, so that masks of 0 and 255 alone may simply lack the other classes. `progress` is called with (pairs done,
    all pairs).

    Raises DataError when no pair can be read, when images are not of one kind, when image and mask differ in size,
    when palettes disagree from mask to mask, when masks were stretched file by file, when a mask holds a class outside
    `num_classes`, when there is nothing to learn or only one class, and, with `strict`, when anything was left out or
    ignored. Raises LabelError when the label map leads to a class outside `num_classes`.
    """
    label_map = label_map or LabelMap.identity()
    if num_classes is None:
        num_classes = label_map.class_count()
    if num_classes is not None:
        check_class_count(num_classes, channel)
        label_map.check(num_classes)
    _tell_pairing(pairing, channel)
    readings, problems = scan_pairs(pairing.pairs, wish, progress)
    left_out = _left_out(pairing, problems)
    _tell_left_out(left_out, len(readings), channel, strict)
    _tell_repaired(readings, channel)
    tell_each(*pixel_findings(readings, channel))
    form = settle_form(readings, channel)
    check_sizes_match(readings, channel)
    tell_each(orientation_finding(readings, channel, upright=wish.upright))
    tell_each(palette_finding(readings, label_map, channel))
    values, counts = combine(readings)
    check_any_labelled(values, label_map, channel, void_is_known=void_is_known)
    check_not_stretched(readings, label_map, channel)
    if num_classes is None:
        num_classes = infer_num_classes(readings, values, label_map, channel)
    check_class_range(readings, values, label_map, num_classes, channel)
    unmapped = _unmapped(values, counts, label_map, channel, strict)
    histogram = _histogram(values, counts, label_map, num_classes)
    absent = tuple(int(index) for index in np.flatnonzero(histogram == 0))
    _tell_absent(absent, num_classes, channel)
    return DataReport(
        pairs=tuple(reading.pair for reading in readings),
        left_out=left_out,
        sizes=_sizes(readings),
        num_classes=num_classes,
        histogram=histogram,
        ignored_pixels=int(counts.sum() - histogram.sum()),
        unmapped=unmapped,
        absent_classes=absent,
        palette=masks_palette(readings[0].pair, label_map, num_classes),
        fingerprint=fingerprint(readings),
        form=form,
        bands=band_statistics(readings),
        readings=tuple(readings),
    )


def _tell_pairing(pairing: Pairing, channel: str) -> None:
    """Say by which assumptions files were paired, and which lie beside them unread."""
    for assumption in pairing.assumed:
        logger.info("%s: %s", channel, assumption)
    for unread in pairing.unread:
        logger.warning("%s: %s. %s", channel, unread, unread.cure)


def _left_out(pairing: Pairing, problems: list[str]) -> tuple[str, ...]:
    """A sentence for each file left out, in plain text even where a file name is not UTF-8."""
    sentences = (
        *problems,
        *(f"{name} has no mask." for name in pairing.unpaired_images),
        *(f"{name} has no image." for name in pairing.unpaired_masks),
    )
    return tuple(sentence.encode(errors="backslashreplace").decode() for sentence in sentences)


def _tell_left_out(left_out: tuple[str, ...], readable: int, channel: str, strict: bool) -> None:
    """Warn once of all files left out; DataError when nothing is left, or for anything when strict."""
    if not left_out:
        return
    named = sentences(left_out, _NAMED)
    if not readable:
        raise DataError(f"{channel}: none of the pairs can be read. {named}")
    what = f"{channel}: {counted(len(left_out), 'file is', 'files are')}"
    if strict:
        raise DataError(f"{what} without a partner or unreadable, which --strict refuses. {named}")
    logger.warning("%s left out. %s", what, named)


def _tell_repaired(readings: list[PairScan], channel: str) -> None:
    repaired = [reading for reading in readings if reading.repaired]
    if repaired:
        logger.warning(
            "%s: in %d of %d masks indices and colours disagree with the colour map; the colours are believed: %s, ...",
            channel,
            len(repaired),
            len(readings),
            repaired[0].pair.mask.name,
        )


def _unmapped(
    values: NDArray[np.int64], counts: NDArray[np.int64], label_map: LabelMap, channel: str, strict: bool
) -> dict[int, int]:
    """Pixels of each value that the label map does not name; warns of them, or refuses them when strict."""
    found = np.isin(values, label_map.unmapped(values))
    unmapped = dict(zip(values[found].tolist(), counts[found].tolist(), strict=True))
    if unmapped and strict:
        raise DataError(f"{unmapped_sentence(unmapped, channel)}, which --strict refuses: add them to the map.")
    if unmapped:
        logger.warning("%s; they are ignored.", unmapped_sentence(unmapped, channel))
    return unmapped


def _histogram(
    values: NDArray[np.int64], counts: NDArray[np.int64], label_map: LabelMap, num_classes: int
) -> NDArray[np.int64]:
    """Labelled pixels of each class, [C]."""
    classes = classes_of(values, label_map)
    histogram = np.zeros(num_classes, np.int64)
    np.add.at(histogram, classes[classes >= 0], counts[classes >= 0])
    return histogram


def _tell_absent(absent: tuple[int, ...], num_classes: int, channel: str) -> None:
    if absent:
        which = "class" if len(absent) == 1 else "classes"
        named = ", ".join(map(str, absent))
        logger.warning("%s: no pixel is labelled as %s %s of %d.", channel, which, named, num_classes)


def _sizes(readings: list[PairScan]) -> tuple[tuple[tuple[int, int], int], ...]:
    counted = Counter(reading.image_size for reading in readings)
    return tuple(sorted(counted.items(), key=lambda entry: (-entry[1], entry[0])))


def masks_palette(pair: Pair, label_map: LabelMap, num_classes: int) -> NDArray[np.uint8] | None:
    """The colours of all classes in the palette of a mask, [C, 3], where they are distinct and not all grey."""
    colours = _classes_palette(pair.palette_classes) if pair.palette_classes else mask_palette(pair.mask.read())
    if colours is None:
        return None
    classes = classes_of(np.arange(256), label_map)
    named = [np.flatnonzero(classes == index) for index in range(num_classes)]
    if not all(pixels.size for pixels in named):
        return None
    palette = colours[[pixels[0] for pixels in named]]
    if len(np.unique(palette, axis=0)) < num_classes or (palette == palette[:, :1]).all():
        return None
    return palette


def _classes_palette(palette_classes: PaletteClasses) -> NDArray[np.uint8]:
    """The colours of palette classes as a palette, [256, 3]."""
    palette = np.zeros((256, 3), np.uint8)
    for index, colour in palette_classes:
        palette[index] = colour
    return palette
