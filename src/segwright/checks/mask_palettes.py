"""Palettes of masks compared with each other: where an index has other colours, it may be another class, as programs
that reduce colours (Pillow's ADAPTIVE, ImageMagick's PNG8, GIF writers) give each file a palette of its own.

Masks whose palette tells nothing, or that palette classes correct, are not compared; neither is 255.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from os.path import commonpath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel_statistics import ScannedChannel, classes_of
from segwright.checks.mask_values import label_map_location
from segwright.checks.scan import PairScan, image_names
from segwright.data.pairs import Pair
from segwright.findings import Finding, Severity
from segwright.formats.palettes import NO_COLOUR, mask_palette
from segwright.labels import IGNORE, LabelMap
from segwright.storage import Blob, FileBlob
from segwright.wording import listed

_ROUNDING: Final = 2  # what tools differ in when they round the same colour, of 255
_INDICES: Final = 256
_SHOWN: Final = 12  # colours

Codes = NDArray[np.int64]  # colours as numbers, red << 16 | green << 8 | blue


class _UsedColours:
    """The colours of the indices in the masks of a channel, an entry for each index of each mask, [M]."""

    def __init__(self, masks: ScannedChannel) -> None:
        self.masks = masks
        telling = [(row, scan, scan.colours) for row, scan in enumerate(masks.scans) if scan.colours is not None]
        none = [np.zeros(0, np.int64)]
        owner = np.repeat([row for row, _, _ in telling], [len(scan.values) for _, scan, _ in telling]).astype(np.int64)
        index = np.concatenate([scan.values for _, scan, _ in telling] or none)
        code = np.concatenate([colours.astype(np.int64) for _, _, colours in telling] or none)
        known = (code != NO_COLOUR) & (index != IGNORE)
        self.owner, self.index, self.code = owner[known], index[known], code[known]
        keys, first, counts = np.unique(self.index << 24 | self.code, return_index=True, return_counts=True)
        order = np.lexsort((first, -counts, keys >> 24))
        indices, best = np.unique(keys[order] >> 24, return_index=True)
        self.usual, self.examples = (np.full(_INDICES, -1, np.int64) for _ in range(2))
        """The most frequent colour of each index, and the entry that shows it first, [256] each; -1 for none."""
        self.usual[indices] = keys[order][best] & 0xFFFFFF
        self.examples[indices] = first[order][best]
        self.unlike = _distance(self.usual[self.index], self.code) > _tolerance(self.usual)
        """Whether each entry has another colour than is usual for its index, [M]."""

    def scan(self, entry: int) -> PairScan:
        """The pair that an entry belongs to."""
        return self.masks.scans[int(self.owner[entry])]


def palettes_agree(masks: ScannedChannel) -> Iterator[Finding]:
    """Where an index has different colours in different masks: an error, or a warning where a label map lists the
    numbers and so says what they mean.
    """
    used = _UsedColours(masks)
    if not used.unlike.any():
        return
    entry = int(used.unlike.argmax())
    index = int(used.index[entry])
    owners = np.unique(used.owner[used.unlike])
    palettes, verb = ("palette", "disagrees") if len(owners) == 1 else ("palettes", "disagree")
    usual = used.scan(int(used.examples[index]))
    what = (
        f"the {palettes} of {len(owners)} of {len(np.unique(used.owner))} masks {verb} with the others: index {index} "
        f"is {_rgb(used.usual[index])} in {usual.pair.mask.name} and {_rgb(used.code[entry])} in "
        f"{used.scan(entry).pair.mask.name}, so it may be another class there."
    )
    files = image_names(masks.scans[row] for row in owners.tolist())
    severity: Severity = "error" if masks.label_map.values is None else "warning"
    yield Finding("palettes_agree", severity, masks.channel, what, _cure(used), files)


def same_palettes(train: ScannedChannel, validation: ScannedChannel) -> Iterator[Finding]:
    """Where indices have other colours in validation than in train, both under one label map: an error where a colour
    of validation belongs to another index in train and no label map lists the numbers, else a warning.
    """
    ours, theirs = _UsedColours(train), _UsedColours(validation)
    if ours.unlike.any() or theirs.unlike.any():
        return
    both = (ours.usual >= 0) & (theirs.usual >= 0)
    unlike = both & (_distance(ours.usual, theirs.usual) > _tolerance(ours.usual))
    if not unlike.any():
        return
    exchanged = [index for index in np.flatnonzero(unlike).tolist() if theirs.usual[index] in ours.usual]
    index = exchanged[0] if exchanged else int(unlike.argmax())
    examples = ours.scan(int(ours.examples[index])), theirs.scan(int(theirs.examples[index]))
    what = (
        f"the palettes disagree with those of train: index {index} is {_rgb(ours.usual[index])} in "
        f"{examples[0].pair.mask.name} and {_rgb(theirs.usual[index])} in {examples[1].pair.mask.name}"
    )
    severity: Severity = "warning"
    cure = "Where a colour means a class, these masks are numbered otherwise than those of train: look at both."
    if exchanged:
        other = int(np.flatnonzero(ours.usual == theirs.usual[index])[0])
        what += f", which is the colour of index {other} in train"
        severity, cure = "error" if validation.label_map.values is None else "warning", _cure(theirs)
    yield Finding("same_palettes", severity, validation.channel, f"{what}.", cure, image_names(examples))


def class_palette(pair: Pair, label_map: LabelMap, num_classes: int) -> NDArray[np.uint8] | None:
    """The colours of all classes in the palette of a mask, [C, 3], where they are distinct and not all grey."""
    colours = np.zeros((_INDICES, 3), np.uint8) if pair.palette_classes else mask_palette(pair.mask.read())
    if colours is None:
        return None
    for index, colour in pair.palette_classes:
        colours[index] = colour
    present, first = np.unique(classes_of(np.arange(_INDICES), label_map), return_index=True)
    palette = colours[first[(present >= 0) & (present < num_classes)]]
    usable = len(np.unique(palette, axis=0)) == num_classes and (palette != palette[:, :1]).any()
    return palette if usable else None


def _tolerance(usual: Codes) -> int:
    """How much colours of one index may differ: nothing where different indices have nearly the same colour."""
    known = usual[usual >= 0]
    apart = _distance(known[:, None], known[None, :])
    np.fill_diagonal(apart, 255)
    return 0 if apart.size and apart.min() <= 2 * _ROUNDING else _ROUNDING


def _distance(one: Codes, other: Codes) -> NDArray[np.int64]:
    """The largest difference in red, green or blue of colours."""
    parts = [np.abs((one >> shift & 255) - (other >> shift & 255)) for shift in (0, 8, 16)]
    return np.asarray(np.max(parts, axis=0), np.int64)


def _rgb(code: int) -> str:
    return f"({code >> 16 & 255}, {code >> 8 & 255}, {code & 255})"


def _cure(used: _UsedColours) -> str:
    """What to do, with a command for these folders where they are folders."""
    masks = used.masks
    colours = [f"{code >> 16 & 255} {code >> 8 & 255} {code & 255}" for code in np.unique(used.code).tolist()]
    images = _folder([scan.pair.image for scan in masks.scans], "IMAGES")
    by_colour = (
        f"segwright import-data colours {images} --masks {_folder([scan.pair.mask for scan in masks.scans], 'MASKS')} "
        "--colours colours.txt --output DATA, where each line of colours.txt is a class and its colour, as 'road 128 "
        f"64 128' (the masks show {listed(colours, _SHOWN)})."
    )
    if masks.label_map.values is not None:
        return f"The numbers count, as the label map says. If it is the colours that are right: {by_colour}"
    own_numbers = json.dumps({"map": {str(number): number for number in np.unique(used.index).tolist()}})
    return (
        f"Read them by colour: {by_colour} If the numbers are right all the same, list them in a label map, "
        f"{own_numbers}, {label_map_location(masks.channel)}."
    )


def _folder(blobs: Sequence[Blob], placeholder: str) -> str:
    """The folder of some files, for a command; the placeholder where they are no files of one folder."""
    folders = {blob.path.parent for blob in blobs if isinstance(blob, FileBlob)}
    if not all(isinstance(blob, FileBlob) for blob in blobs) or len({one.is_absolute() for one in folders}) > 1:
        return placeholder
    return shlex.quote(commonpath(folders))
