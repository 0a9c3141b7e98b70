"""Pascal VOC: JPEGImages, SegmentationClass and ImageSets/Segmentation, as VOC itself and as CVAT export them.

Knows VOC's twenty classes and background, its colours, and `labelmap.txt`, whose colours say which class is which
where it exists. Refuses to know how tables and colours are read.

Source: PASCAL VOC 2012 development kit, section 4.3 and `VOClabelcolormap.m`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.console import LOGGER
from segwright.data.folders import find_pairs
from segwright.data.importers.by_colour import draw_by_colour
from segwright.data.importers.colour_tables import read_colour_table
from segwright.data.importers.items import (
    Canvas,
    Drawn,
    ImportedData,
    ImportedPair,
    Split,
    read_text,
    refuse_other_size,
)
from segwright.data.pairs import Pair
from segwright.errors import DataError
from segwright.formats.colour_table import ColourTable
from segwright.formats.containers import open_picture
from segwright.formats.masks import IGNORE_COLOUR, decode_mask
from segwright.labels import IGNORE
from segwright.storage import Blob

CLASS_NAMES: Final = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

_MASKS: Final = "SegmentationClass"
_LISTS: Final[dict[str, Split]] = {"train.txt": "train", "val.txt": "validation"}
_SHOWN: Final = 3


def read_voc(source: Path) -> ImportedData:
    """Read the one VOC data set at or below `source`. Where both train.txt and val.txt exist, they divide it.

    Raises DataError for none or several data sets, and for lists that name no pair, or one pair twice.
    """
    root = _root(source)
    pairing = find_pairs(root / "JPEGImages", root / _MASKS)
    if pairing.unpaired_masks:
        shown = ", ".join(pairing.unpaired_masks[:_SHOWN])
        LOGGER.warning(f"{len(pairing.unpaired_masks)} masks have no image and are left out: {shown}")
    labelmap = root / "labelmap.txt"
    if labelmap.is_file():
        classes = read_colour_table(read_text(labelmap), str(labelmap))
        names, palette = classes.names, classes.palette
        drawn = [partial(draw_by_colour, pair.mask, classes.table, str(labelmap)) for pair in pairing.pairs]
    else:
        names, palette = CLASS_NAMES, _colours()
        drawn = [partial(_draw, pair.mask) for pair in pairing.pairs]
    splits = _splits(root / "ImageSets" / "Segmentation", pairing.pairs)
    pairs = [
        ImportedPair(f"{pair.key}{PurePath(pair.image.name).suffix}", pair.image, draw, splits.get(pair.key))
        for pair, draw in zip(pairing.pairs, drawn, strict=True)
    ]
    return ImportedData(tuple(pairs), names, palette, "train.txt and val.txt" if splits else None)


def _root(source: Path) -> Path:
    """The folder that holds SegmentationClass: `source`, or the only one in it or in a folder of it."""
    if (source / _MASKS).is_dir():
        return source
    found = sorted(path.parent for depth in ("*", "*/*") for path in source.glob(f"{depth}/{_MASKS}") if path.is_dir())
    if not found:
        raise DataError(f"{source} holds no folder {_MASKS}; a VOC data set has JPEGImages and {_MASKS} side by side.")
    if len(found) > 1:
        raise DataError(f"{source} holds several data sets: {', '.join(map(str, found))}. Give the path of one.")
    return found[0]


def _splits(folder: Path, pairs: Sequence[Pair]) -> dict[str, Split]:
    """The side of each pair that the two lists name; nothing where one of them is missing."""
    if not all((folder / name).is_file() for name in _LISTS):
        return {}
    keys = {pair.key for pair in pairs}
    splits: dict[str, Split] = {}
    for name, split in _LISTS.items():
        for number, key in _lines(folder / name):
            where = f"{folder / name}, line {number}: {key!r}"
            if key not in keys:
                raise DataError(f"{where} has no image with a mask: add them, or remove the line.")
            if splits.setdefault(key, split) != split:
                raise DataError(f"{where} is in train.txt as well; remove it from one of the two.")
    return splits


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _draw(mask: Blob, canvas: Canvas) -> Drawn:
    """Read a mask of VOC's own classes: indices, or VOC's colours where it is an RGB picture."""
    data = mask.read()
    if len(open_picture(data, mask.name).getbands()) > 2:
        return draw_by_colour(mask, _colour_table(), "Pascal VOC", canvas)
    numbers = decode_mask(data, mask.name)
    refuse_other_size(numbers.shape, canvas, mask.name)
    strange = numbers[(numbers >= len(CLASS_NAMES)) & (numbers != IGNORE)]
    if strange.size:
        raise DataError(
            f"{mask.name} holds the value {strange.min()} in {(strange == strange.min()).sum():,} pixels; Pascal VOC "
            "has the classes 0 to 20 and 255. If yours are others, put a labelmap.txt beside the folder, with a line "
            "such as 'road:128,64,128::' for each class."
        )
    return Drawn(numbers.astype(np.uint8))


def _colour_table() -> ColourTable:
    colours = {(red, green, blue): index for index, (red, green, blue) in enumerate(_colours().tolist())}
    return ColourTable(colours | {IGNORE_COLOUR: IGNORE})


def _colours() -> NDArray[np.uint8]:
    """VOC's colours of its classes, uint8 [21, 3]: the bits of the index, from the lowest, go to red, green and blue
    by turns, from the highest.
    """
    colours = np.zeros((len(CLASS_NAMES), 3), np.uint8)
    for index in range(len(CLASS_NAMES)):
        for bit in range(8):
            colours[index, bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return colours
