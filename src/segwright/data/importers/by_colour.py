"""Masks whose colours count: from RGB pixels to class indices.

Knows colours and classes, and which unknown colour to tell of. Refuses to guess: a colour that is nearly right may
belong to the border between two classes as well.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.data.importers.items import Canvas, Drawn, refuse_other_size
from segwright.errors import DataError
from segwright.formats.containers import sniff
from segwright.formats.images import decode_image
from segwright.storage import Blob

Colour = tuple[int, int, int]

UNKNOWN: Final = 254
"""Stands for the class of unknown colours: never a class, never ignore."""

_ROWS_AT_ONCE: Final = 256  # a band's look-up takes 12 bytes a pixel


class ColourTable:
    """Which colour means which class, or `IGNORE`."""

    def __init__(self, classes: Mapping[Colour, int]) -> None:
        pairs = sorted((_code(np.array(colour)).item(), index) for colour, index in classes.items())
        self._codes = np.array([code for code, _ in pairs], np.int32)
        self._classes = np.array([index for _, index in pairs], np.uint8)

    def classes(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The classes of RGB pixels uint8 [H, W, 3], uint8 [H, W]; `UNKNOWN` where the table has no such colour."""
        found = np.full(pixels.shape[:2], UNKNOWN, np.uint8)
        if not len(self._codes):
            return found
        for start in range(0, len(pixels), _ROWS_AT_ONCE):
            codes = _code(pixels[start : start + _ROWS_AT_ONCE])
            places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
            known = self._codes[places] == codes
            found[start : start + _ROWS_AT_ONCE][known] = self._classes[places[known]]
        return found

    def nearest(self, colour: Colour) -> Colour:
        """The colour of the table that differs least, by the squares of red, green and blue."""
        colours = np.stack([self._codes >> 16, self._codes >> 8 & 255, self._codes & 255], axis=1)
        red, green, blue = colours[((colours - np.array(colour)) ** 2).sum(axis=1).argmin()].tolist()
        return red, green, blue


def draw_by_colour(mask: Blob, table: ColourTable, origin: str, canvas: Canvas) -> Drawn:
    """Read a colour or palette mask by its colours; `origin` is what the table was read from.

    Raises DataError for lossy formats, a mask that does not fit, and a colour that the table does not name.
    """
    data = mask.read()
    if sniff(data) in ("JPEG", "WebP"):
        raise DataError(f"{mask.name} is a {sniff(data)} file, whose compression changes colours: export masks as PNG.")
    pixels = np.asarray(decode_image(data, mask.name), np.uint8)
    refuse_other_size(pixels.shape[:2], canvas, mask.name)
    classes = table.classes(pixels)
    unknown = classes == UNKNOWN
    if unknown.any():
        raise DataError(f"{mask.name}: {_unknown_colours(pixels[unknown], table, origin)}")
    return Drawn(classes)


def spelled(colour: Colour) -> str:
    """A colour as tables write it: `44 160 44 (#2ca02c)`."""
    return "{} {} {} (#{:02x}{:02x}{:02x})".format(*colour, *colour)


def _code(pixels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Red, green and blue [..., 3] as one number [...]."""
    wide = pixels.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _unknown_colours(pixels: NDArray[np.uint8], table: ColourTable, origin: str) -> str:
    """A sentence on RGB pixels [N, 3] of colours that a table lacks, and the cure."""
    codes, counts = np.unique(_code(pixels), return_counts=True)
    most = int(codes[counts.argmax()])
    colour = (most >> 16, most >> 8 & 255, most & 255)
    near = table.nearest(colour)
    others = f", and {len(codes) - 1} other unknown colours occur" if len(codes) > 1 else ""
    cure = (
        "Colours were mixed by resizing or by lossy compression: export the masks anew as PNG, in their own size"
        if len(codes) > 1
        else f"Add it, or call it void in {origin} if it is to be ignored"
    )
    return (
        f"{counts.max():,} pixels have the colour {spelled(colour)}, which {origin} does not name; the nearest there "
        f"is {spelled(near)}{others}. {cure}."
    )
