"""Pascal VOC: JPEGImages, SegmentationClass and ImageSets/Segmentation, as VOC itself, CVAT and LabelMe have them.

Knows VOC's twenty classes and background, its colours, and the two files that name other classes: CVAT's
`labelmap.txt`, whose colours say which is which, and `class_names.txt` of LabelMe's export. Refuses to know how tables
and colours are read.

Source: PASCAL VOC 2012 development kit, section 4.3 and `VOClabelcolormap.m`.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.data.channels import Split
from segwright.data.folders import find_pairs
from segwright.data.pairs import Pair
from segwright.errors import DataError
from segwright.formats.colour_table import ColourTable
from segwright.formats.masks import IGNORE_COLOUR, MASK_SUFFIXES
from segwright.formats.pillow import open_picture
from segwright.importers.by_colour import draw_by_colour
from segwright.importers.by_number import draw_by_number
from segwright.importers.canvas import Canvas, mask_frame
from segwright.importers.colour_tables import read_colour_table
from segwright.importers.dataset import ImportedData, ImportedPair, checked_names, without_suffix
from segwright.importers.drawing import Drawing
from segwright.importers.files import files_below, read_text
from segwright.labels import IGNORE, parse_class_names
from segwright.storage import Blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

CLASS_NAMES: Final = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

_MASKS: Final = ("SegmentationClass", "SegmentationClassPNG")
_SIDES: Final[dict[str, Split]] = {
    "train": "train", "val": "validation", "valid": "validation", "validation": "validation",
}  # fmt: skip
_NO_CLASS: Final = "__ignore__"


def read_voc(source: Path, images: Path | None = None) -> ImportedData:
    """Read the one VOC data set at or below `source`; its images lie in JPEGImages, or in the folder `images`. Where
    lists for train and val exist, they divide it.

    Raises DataError for none or several data sets, for images that are nowhere, and for lists of which no line names a
    pair, or that share one.
    """
    root = _root(source)
    pictures = images or root / "JPEGImages"
    if not pictures.is_dir():
        raise DataError(
            f"{root} holds masks, but no folder JPEGImages: give the folder of its images with --images DIR."
        )
    pairing = find_pairs(pictures, _mask_folder(root))
    if pairing.unpaired_masks:
        logger.warning(
            f"{len(pairing.unpaired_masks)} masks have no image and are left out: {listed(pairing.unpaired_masks)}"
        )
    if pairing.unpaired_images:
        logger.info(f"{len(pairing.unpaired_images)} images have no mask and are left out")
    names, palette, draw = _classes(root)
    lists = _lists(root / "ImageSets" / "Segmentation")
    splits = _splits(lists, pairing.pairs)
    divided_by = f"the lists {' and '.join(file.name for file in lists)}" if lists else None
    pairs = [
        ImportedPair(
            f"{pair.key}{PurePath(pair.image.name).suffix}",
            pair.image,
            partial(draw, pair.mask),
            splits.get(pair.key),
            partial(mask_frame, pair.mask),
        )
        for pair in pairing.pairs
    ]
    return ImportedData(tuple(pairs), names, palette, divided_by)


def _root(source: Path) -> Path:
    """The folder that holds SegmentationClass: `source`, or the only one in it or in a folder of it."""
    if any((source / name).is_dir() for name in _MASKS):
        return source
    folders = {
        path.parent
        for name in _MASKS
        for depth in ("*", "*/*")
        for path in source.glob(f"{depth}/{name}")
        if path.is_dir()
    }
    found = sorted(
        folder
        for folder in folders
        if not any(part.startswith((".", "__MAC")) for part in folder.relative_to(source).parts)
    )
    if not found:
        boxes = " Its Annotations hold boxes, which have no outlines." if (source / "Annotations").is_dir() else ""
        raise DataError(
            f"{source} holds no folder {_MASKS[0]}; a VOC data set has JPEGImages and {_MASKS[0]} side by side.{boxes}"
        )
    if len(found) > 1:
        raise DataError(f"{source} holds several data sets: {', '.join(map(str, found))}. Give the path of one.")
    return found[0]


def _mask_folder(root: Path) -> Path:
    """The folder of masks: the second one where the first holds other files, as LabelMe's own export has them."""
    folders = [root / name for name in _MASKS if (root / name).is_dir()]
    with_masks = [
        folder
        for folder in folders
        if any(path.suffix.lower() in MASK_SUFFIXES for path, _ in files_below(folder).items())
    ]
    return (with_masks or folders)[0]


def _classes(root: Path) -> tuple[tuple[str, ...], NDArray[np.uint8], Callable[[Blob, Canvas], Drawing]]:
    """Names and colours of the classes, and what draws a mask: by labelmap.txt (CVAT), class_names.txt (LabelMe), or
    as VOC's own.
    """
    labelmap, listed = root / "labelmap.txt", root / "class_names.txt"
    if labelmap.is_file():
        classes = read_colour_table(read_text(labelmap), str(labelmap))
        return classes.names, classes.palette, partial(draw_by_colour, table=classes.table, origin=str(labelmap))
    names: tuple[str, ...] = CLASS_NAMES
    if listed.is_file():
        names = checked_names(
            [name for name in parse_class_names(read_text(listed), str(listed)) if name != _NO_CLASS], str(listed)
        )
    else:
        logger.info(f"{root} has no labelmap.txt: its classes are taken to be background and the twenty of Pascal VOC")
    palette = voc_colours(len(names))
    return names, palette, partial(_draw, palette=palette)


def _lists(folder: Path) -> dict[Path, Split]:
    """The lists for the two sides; nothing where one of them is missing."""
    files = sorted(
        path
        for path in folder.glob("*.txt")
        if not any(part.startswith((".", "__MAC")) for part in path.relative_to(folder).parts)
    )
    lists = {file: split for file in files if (split := _SIDES.get(file.stem.lower()))}
    return lists if len(set(lists.values())) == 2 else {}


def _splits(lists: Mapping[Path, Split], pairs: Sequence[Pair]) -> dict[str, Split]:
    """The side of each pair that the lists name; a warning counts lines that name none."""
    keys = {pair.key: pair.key for pair in pairs}
    splits: dict[str, tuple[Split, Path]] = {}
    unknown: list[str] = []
    for file, split in lists.items():
        for number, line in _lines(file):
            where = f"{file}, line {number}: {line!r}"
            key = next((keys[name] for name in _names(line) if name in keys), None)
            if key is None:
                unknown.append(where)
            elif splits.setdefault(key, (split, file))[0] != split:
                raise DataError(f"{where} is in {splits[key][1].name} as well; remove it from one of the two.")
    if unknown:
        what = f"{len(unknown)} lines have no image with a mask: {listed(unknown, separator='; ')}"
        if not splits:
            raise DataError(f"{what}. Correct the lists, or move them away to have pairs drawn.")
        logger.warning(f"{what}; they are left out")
    return {key: split for key, (split, _) in splits.items()}


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _names(line: str) -> Iterator[str]:
    """What a line may call its image: the whole line, or what comes before a flag or the path of a mask; each also
    without folders, and without ending.
    """
    for text in (line, line.split()[0]):
        path = text.replace("\\", "/").removeprefix("./").lstrip("/")
        for name in (path, path.removeprefix("JPEGImages/"), PurePosixPath(path).name):
            yield name
            yield without_suffix(name)


def _draw(mask: Blob, canvas: Canvas, palette: NDArray[np.uint8]) -> Drawing:
    """Read a mask of indices, or of VOC's colours where it is an RGB picture."""
    cure = (
        "If your classes are others than Pascal VOC's, put a labelmap.txt beside the folder, with a line such as "
        "'road:128,64,128::' for each class."
    )
    if len(open_picture(mask.read(), mask.name).getbands()) > 2:
        return draw_by_colour(mask, canvas, _colour_table(palette), "Pascal VOC", cure)
    classes = {number: number for number in (*range(len(palette)), IGNORE)}
    return draw_by_number(mask, canvas, classes, f"the classes are 0 to {len(palette) - 1} and 255. {cure}")


def _colour_table(palette: NDArray[np.uint8]) -> ColourTable:
    colours = {(red, green, blue): index for index, (red, green, blue) in enumerate(palette.tolist())}
    return ColourTable(colours | {IGNORE_COLOUR: IGNORE})


def voc_colours(count: int) -> NDArray[np.uint8]:
    """VOC's colours of so many classes, uint8 [C, 3]: the bits of the index, from the lowest, go to red, green and blue
    by turns, from the highest.
    """
    colours = np.zeros((count, 3), np.uint8)
    for index in range(count):
        for bit in range(8):
            colours[index, bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return colours
