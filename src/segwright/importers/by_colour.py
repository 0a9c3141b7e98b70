"""Masks whose colours count: from RGB pixels to class indices.

Knows masks in files and which unknown colour to tell of. What a colour means, `formats.colour_table` knows.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.colour_table import UNKNOWN, ColourTable, code_of, spelled
from segwright.formats.file_types import sniff
from segwright.formats.images import decode_image
from segwright.importers.canvas import Canvas, MismatchError
from segwright.importers.drawing import Drawing
from segwright.storage import Blob

_FEW: Final = 8  # unknown colours that may be classes; mixing makes more


def draw_by_colour(mask: Blob, canvas: Canvas, table: ColourTable, origin: str, cure: str | None = None) -> Drawing:
    """Read a colour or palette mask by its colours; `origin` is what the table was read from, and `cure` what helps
    where that is no file.

    Raises DataError for lossy formats, MismatchError for a mask that does not fit and for a colour that the table does
    not name.
    """
    data = mask.read()
    if sniff(data) in ("JPEG", "WebP"):
        raise DataError(f"{mask.name} is a {sniff(data)} file, whose compression changes colours: export masks as PNG.")
    pixels = np.asarray(decode_image(data, mask.name), np.uint8)
    canvas.check_size(pixels.shape[:2], mask.name)
    classes = table.classes(pixels)
    unknown = classes == UNKNOWN
    if unknown.any():
        raise MismatchError(f"{mask.name}: {_unknown_colours(pixels[unknown], table, origin, cure)}")
    return Drawing(classes)


def _unknown_colours(pixels: NDArray[np.uint8], table: ColourTable, origin: str, cure: str | None) -> str:
    """A sentence on RGB pixels [N, 3] of colours that a table lacks, and the cure."""
    codes, counts = np.unique(code_of(pixels), return_counts=True)
    most = int(codes[counts.argmax()])
    colour = (most >> 16, most >> 8 & 255, most & 255)
    near = table.nearest(colour)
    others = f", and {len(codes) - 1} other unknown colours occur" if len(codes) > 1 else ""
    if len(codes) > _FEW:
        cure = (
            "Colours were mixed by resizing or by lossy compression: export the masks anew as PNG, in their own size."
        )
    elif cure is None:
        cure = f"Name such colours in {origin}; call void what is to be ignored."
    return (
        f"{counts.max():,} pixels have the colour {spelled(colour)}, which {origin} does not name; the nearest there "
        f"is {spelled(near)}{others}. {cure}"
    )
