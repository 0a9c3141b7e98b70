"""Pascal VOC: JPEGImages, SegmentationClass and ImageSets/Segmentation, as VOC itself, CVAT and LabelMe have them.

Two files may name other classes: `labelmap.txt` of CVAT, whose colours decide, and `class_names.txt` of LabelMe.
Source: PASCAL VOC 2012 development kit, section 4.3 and `VOClabelcolormap.m`.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.formats.masks import IGNORE_COLOUR, MASK_SUFFIXES, is_colour_image
from segwright.formats.palettes import ColourTable
from segwright.importers.colours import DrawMask, draw_by_colour, pair_folders, read_colour_table
from segwright.importers.dataset import SPLIT_OF, ImportedData, read_class_names, without_suffix
from segwright.importers.drawing import Drawing, draw_by_number
from segwright.importers.files import files_below, read_text, warn_left_out
from segwright.importers.geometry import ImageGeometry
from segwright.labels import IGNORE
from segwright.storage import Blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

CLASS_NAMES: Final = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

_MASKS: Final = ("SegmentationClass", "SegmentationClassPNG")


def read_voc(source: Path, images: Path | None = None) -> ImportedData:
    """Read the one VOC data set at or below `source`; its images lie in JPEGImages, or in the folder `images`. Where
    lists for train and val exist, they divide it.

    Raises DataError for none or several data sets, for images that are nowhere, and for lists of which no line names a
    pair, or that share one.
    """
    root, masks = _find_masks(source)
    images = images or root / "JPEGImages"
    if not images.is_dir():
        raise DataError(f"{root} holds masks, but no folder JPEGImages: give the folder of images with --images DIR.")
    files = sorted((root / "ImageSets" / "Segmentation").glob("[!.]*.txt"))
    lists = {file: split for file in files if (split := SPLIT_OF.get(file.stem.lower()))}
    lists = lists if len(set(lists.values())) > 1 else {}
    names, palette, draw = _classes(root)
    pairs = {without_suffix(pair.name): pair for pair in pair_folders(images, masks, draw)}
    pairs |= {key: replace(pairs[key], split=split) for key, split in _splits(lists, pairs).items()}
    divided_by = f"the lists {' and '.join(file.name for file in lists)}" if lists else None
    return ImportedData(tuple(pairs.values()), names, palette, divided_by)


def _find_masks(source: Path) -> tuple[Path, Path]:
    parents = {parent for path in files_below(source, *MASK_SUFFIXES) for parent in path.parents}
    folders = [source / parent for parent in parents if parent.name in _MASKS]
    roots = sorted({folder.parent for folder in folders})
    if not roots:
        boxes = " Its Annotations hold boxes, which have no outlines." if (source / "Annotations").is_dir() else ""
        raise DataError(
            f"{source} holds no folder {_MASKS[0]} with masks; a VOC data set has JPEGImages and {_MASKS[0]} side by "
            f"side.{boxes}"
        )
    if len(roots) > 1:
        raise DataError(f"{source} holds several data sets: {listed(roots)}. Give the path of one.")
    return roots[0], min(folders)


def _classes(root: Path) -> tuple[tuple[str, ...], NDArray[np.uint8], DrawMask]:
    """Names, colours, and what draws a mask: by labelmap.txt (CVAT), class_names.txt (LabelMe), or as VOC's own."""
    labelmap, listed_names = root / "labelmap.txt", root / "class_names.txt"
    if labelmap.is_file():
        classes = read_colour_table(read_text(labelmap), str(labelmap))
        return classes.names, classes.palette, partial(draw_by_colour, table=classes.table, origin=str(labelmap))
    names: tuple[str, ...] = CLASS_NAMES
    if listed_names.is_file():
        names = read_class_names(listed_names)
    else:
        logger.info(f"{root} has no labelmap.txt: its classes are taken to be background and the twenty of Pascal VOC")
    palette = voc_colours(len(names))
    return names, palette, partial(_draw, palette=palette)


def _splits(lists: Mapping[Path, Split], keys: Collection[str]) -> dict[str, Split]:
    """The split of each key that the lists name; a warning counts lines that name none."""
    found: dict[str, Path] = {}
    unknown: list[str] = []
    for file in lists:
        for number, line in enumerate(read_text(file).splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            where = f"{file}, line {number}: {line.strip()!r}"
            key = next((name for name in _names(line.strip()) if name in keys), None)
            if key is None:
                unknown.append(where)
            elif lists[found.setdefault(key, file)] != lists[file]:
                raise DataError(f"{where} is in {found[key].name} as well; remove it from one of the two.")
    if unknown and not found:
        raise DataError(
            f"No line of the lists names an image with a mask: {listed(unknown)}. Correct the lists, or move them away "
            "to have pairs drawn."
        )
    warn_left_out("ImageSets", "line", unknown, "without an image that has a mask")
    return {key: lists[file] for key, file in found.items()}


def _names(line: str) -> Iterator[str]:
    """What a line may call its image: all of it or what comes before a flag; without folders, without suffix."""
    for text in (line, line.split()[0]):
        path = text.replace("\\", "/").removeprefix("./").lstrip("/")
        for name in (path, path.removeprefix("JPEGImages/"), PurePosixPath(path).name):
            yield name
            yield without_suffix(name)


def _draw(mask: Blob, geometry: ImageGeometry, palette: NDArray[np.uint8]) -> Drawing:
    """Read a mask of indices, or of VOC's colours where it is an RGB image."""
    cure = (
        "If your classes are others than Pascal VOC's, put a labelmap.txt beside the folder, with a line such as "
        "'road:128,64,128::' for each class."
    )
    if is_colour_image(mask.read(), mask.name):
        colours = {tuple(colour): index for index, colour in enumerate(palette.tolist())} | {IGNORE_COLOUR: IGNORE}
        return draw_by_colour(mask, geometry, ColourTable(colours), "Pascal VOC", cure)
    classes = {number: number for number in (*range(len(palette)), IGNORE)}
    return draw_by_number(mask, geometry, classes, f"the classes are 0 to {len(palette) - 1} and 255. {cure}")


def voc_colours(count: int) -> NDArray[np.uint8]:
    """VOC's colours, uint8 [C, 3]: the lowest bits of the index are the highest of red, green and blue, by turns."""
    index, colours = np.arange(count), np.zeros((count, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((index >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours
