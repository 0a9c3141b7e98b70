"""PNG masks as most programs write them, decoded several times as fast as by Pillow.

Knows files of one channel of 8 bits whose rows all have the same filter: none, as libpng and Pillow write palettes, or
the difference to the left or above, as OpenCV writes all masks. Intel's ISA-L inflates them. Refuses to judge: for
every other file, and for everything that is unusual or damaged, the answer is None, and Pillow says what it is.

Source: PNG specification (third edition), sections 5 (chunks), 9 (filters) and 11.2 (critical chunks).
"""

import struct
import zlib
from typing import Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from segwright.formats.file_types import MAX_PIXELS

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


def decode_plain_png(data: bytes) -> NDArray[np.uint8] | None:
    """The numbers of a PNG file, uint8 [H, W]: grey values or the indices of a palette. None for other files."""
    size = _plain_size(data)
    stream = _pixel_stream(data)
    if size is None or stream is None:
        return None
    height, width = size
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
    return _unfiltered(np.frombuffer(rows, np.uint8).reshape(height, width + 1))


def _plain_size(data: bytes) -> tuple[int, int] | None:
    """Height and width from the header, or None where the file has another kind of pixels or too many."""
    if len(data) < _AFTER_HEADER or not data.startswith(_BEGINNING) or not _is_sound(data, 12, _AFTER_HEADER - 4):
        return None
    width, height, *kind = struct.unpack_from(">IIBBBBB", data, len(_BEGINNING))
    return (height, width) if tuple(kind) in _NOT_INTERLACED and 0 < height * width <= MAX_PIXELS else None


def _pixel_stream(data: bytes) -> bytes | None:
    """The content of all IDAT chunks, or None where anything else than harmless chunks stands before or after them.

    Their own checksums are not looked at, as Pillow does: the stream has another one.
    """
    at, parts = _AFTER_HEADER, list[bytes]()
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if kind == b"IEND":
            return b"".join(parts)
        if kind == b"IDAT":
            parts.append(data[at + 8 : end])
        elif parts or length not in _ACCOMPANYING.get(kind, ()) or not _is_sound(data, at + 4, end):
            return None
        at = end + 4
    return None


def _is_sound(data: bytes, start: int, end: int) -> bool:
    """Whether the checksum after a chunk is right."""
    return zlib.crc32(data[start:end]).to_bytes(4) == data[end : end + 4]


def _is_plain(rows: bytes, width: int) -> bool:
    """Whether all rows begin with the same filter, one that is quickly undone."""
    filters = rows[:: width + 1]
    return filters[:1] <= bytes([_FROM_ABOVE]) and filters.count(filters[:1]) == len(filters)


def _unfiltered(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The numbers, uint8 [H, W], of rows with their filter in front, [H, 1 + W]. Sums are modulo 256."""
    pixels = rows[:, 1:]
    if rows[0, 0] == _UNFILTERED:
        return pixels.copy()
    return np.add.accumulate(pixels, axis=1 if rows[0, 0] == _FROM_THE_LEFT else 0, dtype=np.uint8)
