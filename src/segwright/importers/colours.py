"""A folder of images, a folder of colour masks and a table of colours; also pairs the folders of Pascal VOC."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.data.folders import find_pairs
from segwright.errors import DataError
from segwright.formats.file_types import sniff
from segwright.formats.images import EncodedImage
from segwright.formats.palettes import UNKNOWN, ColourTable, format_colour, pack_rgb
from segwright.importers.canvas import Canvas, MismatchError, mask_frame
from segwright.importers.colour_tables import read_colour_table
from segwright.importers.dataset import ImportedData, ImportedPair
from segwright.importers.drawing import Drawing
from segwright.importers.files import read_text, warn_left_out
from segwright.storage import Blob

logger = logging.getLogger(__name__)

DrawMask = Callable[[Blob, Canvas], Drawing]

_FEW: Final = 8  # unknown colours that may be classes; mixing makes more


def read_colours(source: Path, masks: Path, colours: Path) -> ImportedData:
    """Pair the images in `source` with colour masks, and read those by the table `colours`.

    What has no partner is left out with a warning. Raises DataError where nothing pairs, and for a table that
    cannot be read.
    """
    classes = read_colour_table(read_text(colours), str(colours))
    pairs = pair_folders(source, masks, partial(draw_by_colour, table=classes.table, origin=str(colours)))
    return ImportedData(pairs, classes.names, classes.palette)


def pair_folders(images: Path, masks: Path, draw: DrawMask) -> tuple[ImportedPair, ...]:
    """The pairs of a folder of images and a folder of masks that `draw` reads. Raises DataError where nothing pairs."""
    pairing = find_pairs(images, masks)
    for assumption in pairing.assumed:
        logger.info(assumption)
    warn_left_out(images, "image", pairing.unpaired_images, "without a mask")
    warn_left_out(masks, "mask", pairing.unpaired_masks, "without an image")
    names = [f"{pair.key}{PurePath(pair.image.name).suffix}" for pair in pairing.pairs]
    return tuple(
        ImportedPair(name, pair.image, partial(draw, pair.mask), frame=partial(mask_frame, pair.mask))
        for name, pair in zip(names, pairing.pairs, strict=True)
    )


def draw_by_colour(mask: Blob, canvas: Canvas, table: ColourTable, origin: str, cure: str | None = None) -> Drawing:
    """Read a colour or palette mask by its colours; `origin` is what the table was read from, and `cure` what helps
    where that is no file.

    Raises DataError for lossy formats, MismatchError for a mask that does not fit and for a colour that the table does
    not name.
    """
    data = mask.read()
    if sniff(data) in ("JPEG", "WebP"):
        raise DataError(f"{mask.name} is a {sniff(data)} file, whose compression changes colours: export masks as PNG.")
    pixels = np.asarray(EncodedImage(data, mask.name).decode(), np.uint8)
    canvas.check_size(pixels.shape[:2], mask.name)
    classes = table.classes(pixels)
    unknown = classes == UNKNOWN
    if unknown.any():
        raise MismatchError(f"{mask.name}: {_describe_unknown(pixels[unknown], table, origin, cure)}")
    return Drawing(classes)


def _describe_unknown(pixels: NDArray[np.uint8], table: ColourTable, origin: str, cure: str | None) -> str:
    """What is wrong with RGB pixels [N, 3] whose colours a table lacks, and the cure."""
    codes, counts = np.unique(pack_rgb(pixels), return_counts=True)
    most = int(codes[counts.argmax()])
    colour = (most >> 16, most >> 8 & 255, most & 255)
    others = f", and {len(codes) - 1} other unknown colours occur" if len(codes) > 1 else ""
    cure = cure or f"Name such colours in {origin}; call void what is to be ignored."
    if len(codes) > _FEW:
        cure = "Colours were mixed by resizing or lossy compression: export the masks anew as PNG, in their own size."
    return (
        f"{counts.max():,} pixels have the colour {format_colour(colour)}, which {origin} does not name; the nearest "
        f"there is {format_colour(table.nearest(colour))}{others}. {cure}"
    )
