"""Colours with a meaning: the palettes that files store, and tables from RGB colours to class indices."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.file_types import is_gif, sniff
from segwright.formats.pillow import open_image, read_gif
from segwright.formats.png import chunks
from segwright.formats.tiff import PALETTE, Tiff

Colour = tuple[int, int, int]

UNKNOWN: Final = 254  # stands for unknown colours: never a class, never ignore

NO_COLOUR: Final = -1  # stands for the colour of an index beyond the end of its palette

_ROWS_AT_ONCE: Final = 256  # a look-up takes 12 bytes a pixel
_COLOUR_TYPE: Final = slice(25, 26)  # of a PNG
_INDEXED: Final = b"\3"


class ColourTable:
    """Which colour means which class, or `IGNORE`. Only exact colours count: a colour that is nearly right may lie on
    the border between two areas.
    """

    def __init__(self, classes: Mapping[Colour, int]) -> None:
        pairs = sorted((pack_rgb(np.array(colour)).item(), index) for colour, index in classes.items())
        self._codes = np.array([code for code, _ in pairs], np.int32)
        self._classes = np.array([index for _, index in pairs], np.uint8)

    def classes(self, pixels: NDArray[np.uint8], unknown: int = UNKNOWN) -> NDArray[np.uint8]:
        """The classes of RGB pixels uint8 [H, W, 3], uint8 [H, W]; `unknown` where the table has no such colour."""
        found = np.full(pixels.shape[:2], unknown, np.uint8)
        if not len(self._codes):
            return found
        for start in range(0, len(pixels), _ROWS_AT_ONCE):
            codes = pack_rgb(pixels[start : start + _ROWS_AT_ONCE])
            indices = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
            known = self._codes[indices] == codes
            found[start : start + _ROWS_AT_ONCE][known] = self._classes[indices[known]]
        return found

    def nearest(self, colour: Colour) -> Colour:
        """The colour of the table that differs least, by the squares of red, green and blue."""
        colours = np.stack([self._codes >> 16, self._codes >> 8 & 255, self._codes & 255], axis=1)
        red, green, blue = colours[((colours - np.array(colour)) ** 2).sum(axis=1).argmin()].tolist()
        return red, green, blue


def format_colour(colour: Colour) -> str:
    """A colour as tables write it: `44 160 44 (#2ca02c)`."""
    return "{} {} {} (#{:02x}{:02x}{:02x})".format(*colour, *colour)


def pack_rgb(pixels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Red, green and blue [..., 3] as one number [...]: red << 16 | green << 8 | blue."""
    wide = pixels.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


_RAMP: Final = pack_rgb(np.repeat(np.arange(256)[:, None], 3, axis=1))  # each number as grey


def stored_palette(data: bytes, name: str) -> NDArray[np.uint8] | None:
    """The colours of a palette file, uint8 [entries, 3], as many as are stored, or None for a file without palette.
    Raises DataError for bytes that are no image, and for a damaged palette.
    """
    container = sniff(data)
    if container == "PNG":
        kind, first, end = next((each for each in chunks(data) if each[0] in (b"PLTE", b"IDAT")), (b"", 0, 0))
        if data[_COLOUR_TYPE] != _INDEXED or kind != b"PLTE":
            return None
        content = data[first + 8 : end - 4]
        return np.frombuffer(content[: len(content) // 3 * 3], np.uint8).reshape(-1, 3)
    if container == "TIFF":
        tiff = Tiff.parse(data, name)
        if not tiff.is_ordinary or tiff.layout.photometric != PALETTE:
            return None
    image = read_gif(data, name) if is_gif(data) else open_image(data, name)
    if image.mode != "P" or image.palette is None:
        return None
    bare = Image.new("P", (1, 1))
    layout, colours = image.palette.getdata()
    try:
        bare.putpalette(colours, layout)
    except ValueError as error:
        raise DataError(f"{name} has a damaged palette: {error}.") from error
    return np.array(bare.getpalette("RGB"), np.uint8).reshape(-1, 3)


def mask_palette(data: bytes) -> NDArray[np.uint8] | None:
    """The colours of a palette file, uint8 [256, 3] with black beyond its end, or None for a file without palette."""
    stored = stored_palette(data, "mask")
    if stored is None:
        return None
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(stored)] = stored[:256]
    return palette


def palette_colours(palette: NDArray[np.uint8], values: NDArray[np.int64]) -> NDArray[np.int32] | None:
    """The colours of some indices as `pack_rgb` gives them, int32 [N], NO_COLOUR beyond the palette's end.

    None where the palette says nothing of the indices: all of them, or all entries, have one colour; or it is a ramp
    in which each number is its own grey, with more entries than are used.
    """
    codes = pack_rgb(palette)
    inside = (values >= 0) & (values < len(codes))
    used = np.full(len(values), NO_COLOUR, np.int32)
    used[inside] = codes[values[inside]]
    if (len(codes) > 1 and (codes == codes[0]).all()) or (len(used) > 1 and (used == used[0]).all()):
        return None
    return None if len(codes) > len(values) and np.array_equal(codes, _RAMP[: len(codes)]) else used
