"""The palette of a picture as its file stores it, found without decoding a pixel.

Refuses to know what colours mean.

Source: PNG specification (third edition), sections 5.3 (chunks) and 11.2.2 (PLTE).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.chunks import chunks
from segwright.formats.colour_table import code_of
from segwright.formats.file_types import sniff
from segwright.formats.gif import is_gif, read_gif
from segwright.formats.pillow import open_picture
from segwright.formats.tiff import PALETTE, Tiff

NO_COLOUR: Final = -1
"""Stands for the colour of an index beyond the end of its palette."""

_COLOUR_TYPE: Final = 25  # its place in a PNG
_INDEXED: Final = 3
_RAMP: Final = code_of(np.repeat(np.arange(256)[:, None], 3, axis=1))  # each number as grey


def stored_palette(data: bytes, name: str) -> NDArray[np.uint8] | None:
    """The colours of a palette file, uint8 [entries, 3], as many as are stored, or None for a file without palette.

    `name` is for messages only. Raises DataError for bytes that are no picture, and for a damaged palette.
    """
    if sniff(data) == "PNG":
        return _png_palette(data)
    if sniff(data) == "TIFF":
        tiff = Tiff.parse(data, name)
        if not tiff.is_ordinary or tiff.layout.photometric != PALETTE:
            return None
    picture = read_gif(data, name) if is_gif(data) else open_picture(data, name)
    if picture.mode != "P" or picture.palette is None:
        return None
    bare = Image.new("P", (1, 1))
    layout, colours = picture.palette.getdata()
    try:
        bare.putpalette(colours, layout)
    except ValueError as error:
        raise DataError(f"{name} has a damaged palette: {error}.") from error
    return np.array(bare.getpalette("RGB"), np.uint8).reshape(-1, 3)


def telling_colours(palette: NDArray[np.uint8], values: NDArray[np.int64]) -> NDArray[np.int32] | None:
    """The colours of some indices, int32 [N] (red << 16 | green << 8 | blue), NO_COLOUR beyond the palette's end.

    None where the palette says nothing of the indices: all of them, or all entries, have one colour; or it is a ramp
    in which each number is its own grey, with more entries than are used.
    """
    codes = code_of(palette)
    inside = (values >= 0) & (values < len(codes))
    used = np.full(len(values), NO_COLOUR, np.int32)
    used[inside] = codes[values[inside]]
    if (len(codes) > 1 and (codes == codes[0]).all()) or (len(used) > 1 and (used == used[0]).all()):
        return None
    return None if len(codes) > len(values) and np.array_equal(codes, _RAMP[: len(codes)]) else used


def _png_palette(data: bytes) -> NDArray[np.uint8] | None:
    if data[_COLOUR_TYPE : _COLOUR_TYPE + 1] != bytes([_INDEXED]):
        return None
    for kind, first, end in chunks(data):
        if kind == b"PLTE":
            content = data[first + 8 : end - 4]
            return np.frombuffer(content[: len(content) // 3 * 3], np.uint8).reshape(-1, 3)
        if kind == b"IDAT":
            break
    return None
