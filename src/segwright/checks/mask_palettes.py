"""Palettes of masks compared with each other: where an index has other colours, it may be another class.

Programs that reduce colours (Pillow's ADAPTIVE, ImageMagick's PNG8, GIF writers) give each file a palette of its own,
so that index 1 is road here and sky there. Refuses to guess which class is meant. Masks whose palette says nothing, or
was corrected by palette classes, are not compared; neither is 255, which has no class.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.findings import image_names
from segwright.checks.mask_values import label_map_place
from segwright.checks.scan import PairScan
from segwright.findings import Finding, Severity
from segwright.formats.palettes import NO_COLOUR
from segwright.labels import IGNORE, LabelMap
from segwright.storage import Blob, FileBlob
from segwright.wording import listed

_ROUNDING: Final = 2  # what tools differ in when they round the same colour, of 255
_INDICES: Final = 256
_SHOWN: Final = 12  # colours


@dataclass(frozen=True, eq=False)
class _Used:
    """The colours of the indices in some masks, an entry for each index of each mask, [M]."""

    readings: Sequence[PairScan]
    owner: NDArray[np.int64]
    """The place of the mask in `readings`."""
    index: NDArray[np.int64]
    code: NDArray[np.int64]
    """The colour as one number."""

    @classmethod
    def of(cls, readings: Sequence[PairScan]) -> "_Used":
        """Gather what the palettes of the masks tell."""
        telling = [(place, one, one.colours) for place, one in enumerate(readings) if one.colours is not None]
        if not telling:
            return cls(readings, *(np.zeros(0, np.int64) for _ in range(3)))
        owner = np.repeat([place for place, _, _ in telling], [len(one.values) for _, one, _ in telling])
        index = np.concatenate([one.values for _, one, _ in telling])
        code = np.concatenate([colours for _, _, colours in telling]).astype(np.int64)
        known = (code != NO_COLOUR) & (index != IGNORE)
        return cls(readings, owner[known], index[known], code[known])

    def usual(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The most frequent colour of each index, and the entry that shows it first, [256] each; -1 for none."""
        keys, first, counts = np.unique(self.index << 24 | self.code, return_index=True, return_counts=True)
        order = np.lexsort((first, -counts, keys >> 24))
        indices, best = np.unique(keys[order] >> 24, return_index=True)
        colours, examples = (np.full(_INDICES, -1, np.int64) for _ in range(2))
        colours[indices] = keys[order][best] & 0xFFFFFF
        examples[indices] = first[order][best]
        return colours, examples

    def mask(self, entry: int) -> PairScan:
        """The mask that an entry belongs to."""
        return self.readings[int(self.owner[entry])]


def palette_finding(readings: Sequence[PairScan], label_map: LabelMap, channel: str) -> Finding | None:
    """What is to be said where an index has different colours in different masks of a channel: an error, or a warning
    where a label map lists the numbers, so that somebody has said what they mean.
    """
    used = _Used.of(readings)
    colours, examples = used.usual()
    unlike = _unlike(used, colours)
    if not unlike.any():
        return None
    entry = int(unlike.argmax())
    index = int(used.index[entry])
    count, compared = len(np.unique(used.owner[unlike])), len(np.unique(used.owner))
    names = image_names(readings[place] for place in np.unique(used.owner[unlike]).tolist())
    return Finding(
        _severity(label_map),
        channel,
        f"the {'palette' if count == 1 else 'palettes'} of {count} of {compared} masks "
        f"{'disagrees' if count == 1 else 'disagree'} with the others: index {index} is {_rgb(colours[index])} in "
        f"{used.mask(int(examples[index])).pair.mask.name} and {_rgb(used.code[entry])} in "
        f"{used.mask(entry).pair.mask.name}, so it may be another class there.",
        _cure(used, label_map, channel),
        names,
        len(names),
    )


def compare_palettes(train: Sequence[PairScan], validation: Sequence[PairScan], label_map: LabelMap) -> Finding | None:
    """What is to be said where indices have other colours in validation than in train; both have the same label map.

    It is an error where a colour of one channel belongs to another index in the other and no label map lists the
    numbers, and else a warning. Nothing is said where the palettes of one channel disagree among themselves.
    """
    ours, theirs = _Used.of(train), _Used.of(validation)
    (our_colours, our_examples), (colours, examples) = ours.usual(), theirs.usual()
    if _unlike(ours, our_colours).any() or _unlike(theirs, colours).any():
        return None
    both = (our_colours >= 0) & (colours >= 0)
    unlike = both & (_distance(our_colours, colours) > _tolerance(our_colours))
    if not unlike.any():
        return None
    exchanged = [index for index in np.flatnonzero(unlike).tolist() if colours[index] in our_colours]
    index = exchanged[0] if exchanged else int(unlike.argmax())
    examples_named = (ours.mask(int(our_examples[index])), theirs.mask(int(examples[index])))
    what = (
        f"the palettes disagree with those of train: index {index} is {_rgb(our_colours[index])} in "
        f"{examples_named[0].pair.mask.name} and {_rgb(colours[index])} in {examples_named[1].pair.mask.name}"
    )
    if exchanged:
        other = int(np.flatnonzero(our_colours == colours[index])[0])
        return Finding(
            _severity(label_map),
            "validation",
            f"{what}, which is the colour of index {other} in train.",
            _cure(theirs, label_map, "validation"),
            image_names(examples_named),
        )
    return Finding(
        "warning",
        "validation",
        f"{what}.",
        "Where a colour means a class, these masks are numbered otherwise than those of train: look at both.",
        image_names(examples_named),
    )


def _unlike(used: _Used, usual: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each entry has another colour than is usual for its index, [M]."""
    return _distance(usual[used.index], used.code) > _tolerance(usual)


def _tolerance(usual: NDArray[np.int64]) -> int:
    """How much colours of one index may differ: nothing where different indices have nearly the same colour."""
    known = usual[usual >= 0]
    apart = _distance(known[:, None], known[None, :])
    np.fill_diagonal(apart, 255)
    return 0 if apart.size and apart.min() <= 2 * _ROUNDING else _ROUNDING


def _distance(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest difference in red, green or blue of colours."""
    parts = [np.abs((one >> shift & 255) - (other >> shift & 255)) for shift in (0, 8, 16)]
    return np.asarray(np.max(parts, axis=0), np.int64)


def _rgb(code: np.int64) -> str:
    return f"({code >> 16 & 255}, {code >> 8 & 255}, {code & 255})"


def _severity(label_map: LabelMap) -> Severity:
    return "error" if label_map.values is None else "warning"


def _cure(used: _Used, label_map: LabelMap, channel: str) -> str:
    """What to do, with a command for these folders where they are folders."""
    codes = np.unique(used.code)
    shown = listed([f"{code >> 16 & 255} {code >> 8 & 255} {code & 255}" for code in codes.tolist()], _SHOWN)
    images = _folder([reading.pair.image for reading in used.readings], "IMAGES")
    masks = _folder([reading.pair.mask for reading in used.readings], "MASKS")
    by_colour = (
        f"segwright import-data colours {images} --masks {masks} --colours colours.txt --output DATA, where each line "
        f"of colours.txt is a class and its colour, as 'road 128 64 128' (the masks show {shown})."
    )
    if label_map.values is not None:
        return f"The numbers count, as the label map says. If it is the colours that are right: {by_colour}"
    numbers = np.unique(used.index).tolist()
    own_numbers = json.dumps({"map": {str(number): number for number in numbers}})
    return (
        f"Read them by colour: {by_colour} If the numbers are right all the same, list them in a label map, "
        f"{own_numbers}, {label_map_place(channel)}."
    )


def _folder(blobs: Sequence[Blob], placeholder: str) -> str:
    """The folder of some files, for a command; the placeholder where they are no files of one folder."""
    folders = {blob.path.parent for blob in blobs if isinstance(blob, FileBlob)}
    if not all(isinstance(blob, FileBlob) for blob in blobs) or len({one.is_absolute() for one in folders}) > 1:
        return placeholder
    return shlex.quote(commonpath(folders))
