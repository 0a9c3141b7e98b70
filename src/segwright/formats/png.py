"""PNG files: their chunks, and masks, read as most programs write them and written, several times as fast as by Pillow.

The fast decoder takes one channel of 8 bits whose rows all have the same filter: none, as libpng and Pillow write
palettes, or the difference to the left or above, as OpenCV writes all masks. Intel's ISA-L inflates them.

Source: PNG specification (third edition), sections 5 (chunks), 9 (filters) and 11 (critical and ancillary chunks).
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from segwright.formats.file_types import MAX_PIXELS

_SIGNATURE: Final = 8  # bytes
_TEXTS: Final = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"))

_BEGINNING: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_AFTER_HEADER: Final = 33
_NOT_INTERLACED: Final = ((8, 0, 0, 0, 0), (8, 3, 0, 0, 0))  # 8 bits; grey or palette; three methods
_ACCOMPANYING: Final = {
    b"PLTE": range(3, 769, 3),
    b"tRNS": range(2, 257),
    b"gAMA": range(4, 5),
    b"cHRM": range(32, 33),
    b"sRGB": range(1, 2),
    b"pHYs": range(9, 10),
}
"""Chunks that may stand before the pixels and change no number, with the lengths that they may have."""

_UNFILTERED, _FROM_THE_LEFT, _FROM_ABOVE = 0, 1, 2
_ROWS_LOOKED_AT: Final = 8  # before all are inflated
_GREY, _PALETTE = 0, 3  # kinds of pixels
_LEVEL: Final = 1  # of ISA-L's 0 to 3; differences of rows are mostly zeros


def chunks(png: bytes, start: int = _SIGNATURE) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and end of each chunk: 8 bytes of length and name, the content, 4 bytes of a checksum."""
    while start + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        yield kind, start, start + 12 + length
        start += 12 + length


def without_texts(png: bytes) -> bytes:
    """The same PNG file without texts, colour profile and EXIF, which may be of any size once inflated."""
    kept, start = [], 0
    for kind, first, end in chunks(png):
        if kind in _TEXTS:
            kept.append(png[start:first])
            start = end
    return b"".join([*kept, png[start:]]) if kept else png


def decode_plain_png(data: bytes) -> NDArray[np.uint8] | None:
    """Grey values or palette indices, uint8 [H, W]; None for what is unusual or damaged, which is left to Pillow."""
    if len(data) < _AFTER_HEADER or not data.startswith(_BEGINNING) or not _is_sound(data, _SIGNATURE, _AFTER_HEADER):
        return None
    width, height, *kind = struct.unpack_from(">IIBBBBB", data, len(_BEGINNING))
    if tuple(kind) not in _NOT_INTERLACED or not 0 < height * width <= MAX_PIXELS:
        return None
    if (stream := _pixel_stream(data)) is None:
        return None
    try:
        # zlib is slower, but starts faster
        if not _is_plain(zlib.decompressobj().decompress(stream, _ROWS_LOOKED_AT * (width + 1)), width):
            return None
        inflater = isal_zlib.decompressobj()
        rows = inflater.decompress(stream, height * (width + 1) + 1)  # one more, to see whether there is more
    except (zlib.error, isal_zlib.IsalError):  # type: ignore[misc]  # a class, though isal's stubs say an instance
        return None
    if not inflater.eof or len(rows) != height * (width + 1) or not _is_plain(rows, width):
        return None
    pixels = np.frombuffer(rows, np.uint8).reshape(height, width + 1)[:, 1:]
    if rows[0] == _UNFILTERED:
        return pixels.copy()
    return np.add.accumulate(pixels, axis=1 if rows[0] == _FROM_THE_LEFT else 0, dtype=np.uint8)


def _pixel_stream(data: bytes) -> bytes | None:
    """The content of all IDAT chunks, whose stream has a checksum of its own; None for any but harmless chunks."""
    parts: list[bytes] = []
    for kind, first, end in chunks(data, _AFTER_HEADER):
        if kind == b"IEND":
            return b"".join(parts)
        if kind == b"IDAT":
            parts.append(data[first + 8 : end - 4])
        elif parts or end - first - 12 not in _ACCOMPANYING.get(kind, ()) or not _is_sound(data, first, end):
            return None
    return None


def _is_sound(data: bytes, first: int, end: int) -> bool:
    return zlib.crc32(data[first + 4 : end - 4]).to_bytes(4) == data[end - 4 : end]


def _is_plain(rows: bytes, width: int) -> bool:
    """Whether all rows begin with the same filter, one that is quickly undone."""
    filters = rows[:: width + 1]
    return filters[:1] <= bytes([_FROM_ABOVE]) and filters.count(filters[:1]) == len(filters)


def encode_plain_png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> bytes:
    """A PNG file of grey values or, with a palette, uint8 [C, 3], of its indices; `pixels` are uint8 [H, W].

    Rows are differences to the row above, which are mostly zeros in masks.
    """
    height, width = pixels.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _FROM_ABOVE
    rows[:1, 1:] = pixels[:1]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    kind = _GREY if palette is None else _PALETTE
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    parts += [] if palette is None else [(b"PLTE", palette.tobytes())]
    parts += [(b"IDAT", isal_zlib.compress(rows, _LEVEL)), (b"IEND", b"")]
    return _BEGINNING[:_SIGNATURE] + b"".join(
        struct.pack(">I4s", len(content), name) + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
        for name, content in parts
    )
