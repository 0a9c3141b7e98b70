"""How a camera was held (EXIF orientation): reading the note beside the pixels, and turning pixels upright.

Knows where JPEG, PNG, WebP and TIFF keep that note, and reads it without decoding anything. Refuses to know whether
it is to be honoured: `images` decides that. A damaged note counts as none.

Source: TIFF 6.0, section 2 and tag 274, which EXIF 2.32 embeds; BigTIFF for its wider fields; PNG specification (third
edition), chunk eXIf; WebP container specification, chunk EXIF.
"""

from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

ORIENTATION_TAG: Final = 274

_PREFIX: Final = b"Exif\0\0"
_SHORT: Final = 3  # the type of whole numbers of two bytes in a TIFF directory
_BYTE_ORDERS: Final[dict[bytes, Literal["little", "big"]]] = {b"II": "little", b"MM": "big"}
_APP1: Final = 0xE1
_AFTER_THE_HEADER: Final = (0xD9, 0xDA)  # end of image, start of scan

_MIRRORED: Final = ((), (1,), (0, 1), (0,))
"""Axes along which orientations 1 to 4 are mirrored; 5 to 8 are so after rows and columns are exchanged."""

_FLIP_CODES: Final = {(1,): 1, (0, 1): -1, (0,): 0}
_OPENCV_BANDS: Final = (3, 4)  # OpenCV turns these ten times as fast as numpy; more bands it does not exchange


def exif_orientation(data: bytes, container: str | None) -> int:
    """Orientation of a picture, 1 to 8, where 1 is upright and what counts when nothing legible is noted.

    `container` is what `signatures.sniff` says of `data`.
    """
    match container:
        case "JPEG":
            exif = _jpeg_exif(data)
        case "PNG":
            exif = _chunk(data, b"eXIf", start=8, kind_first=False)
        case "WebP":
            exif = _chunk(data, b"EXIF", start=12, kind_first=True)
        case "TIFF":
            exif = data
        case _:
            return 1
    entry = _Entry.find(exif.removeprefix(_PREFIX))
    return entry.value if entry is not None and 1 <= entry.value <= 8 else 1


def transposed_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Height and width after `turned`."""
    return (width, height) if orientation >= 5 else (height, width)


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror pixels [H, W, bands] of a noted orientation so that the picture stands upright; contiguous."""
    axes = _MIRRORED[(orientation - 1) % 4]
    if pixels.shape[2] in _OPENCV_BANDS:
        pixels = cv2.transpose(pixels) if orientation >= 5 else pixels
        return np.ascontiguousarray(cv2.flip(pixels, _FLIP_CODES[axes]) if axes else pixels)
    pixels = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    return np.ascontiguousarray(np.flip(pixels, axes))


def without_orientation(tiff: bytes) -> bytes:
    """The same TIFF file with orientation 1, for readers that turn pictures without being asked."""
    entry = _Entry.find(tiff)
    return tiff if entry is None or entry.value == 1 else entry.overwritten(tiff, 1)


class _Entry:
    """The entry of a TIFF directory that holds the orientation.

    An entry is tag, type, number of values, value: 2, 2, 4, 4 bytes, in BigTIFF 2, 2, 8, 8.
    """

    def __init__(self, tiff: bytes, position: int, width: int, order: Literal["little", "big"]) -> None:
        self._position, self._width, self._order = position, width, order
        kind = int.from_bytes(tiff[position + 2 : position + 4], order)
        at = position + 4 + width
        self.value = int.from_bytes(tiff[at : at + 2], order) if kind == _SHORT else 0

    @classmethod
    def find(cls, tiff: bytes) -> "_Entry | None":
        """Look for the orientation in the first directory; None where there is none, or no directory."""
        order = _BYTE_ORDERS.get(tiff[:2])
        if order is None:
            return None

        def number(at: int, size: int) -> int:
            return int.from_bytes(tiff[at : at + size], order)

        match number(2, 2):
            case 42:
                width, directory, first = 4, number(4, 4), 2
            case 43:
                width, directory, first = 8, number(8, 8), 8
            case _:
                return None
        size = 4 + 2 * width
        entries = min(number(directory, first), 0xFFFF)
        for position in range(directory + first, min(directory + first + entries * size, len(tiff)), size):
            if number(position, 2) == ORIENTATION_TAG:
                return cls(tiff, position, width, order)
        return None

    def overwritten(self, tiff: bytes, value: int) -> bytes:
        """The file with another value in this entry."""
        numbers = ((ORIENTATION_TAG, 2), (_SHORT, 2), (1, self._width), (value, 2), (0, self._width - 2))
        entry = b"".join(number.to_bytes(size, self._order) for number, size in numbers)
        return tiff[: self._position] + entry + tiff[self._position + len(entry) :]


def _jpeg_exif(data: bytes) -> bytes:
    """Content of the first EXIF segment, or nothing; stops where the pixels begin."""
    at = data.find(b"\xff", 2)
    while 0 <= at < len(data) - 4 and data[at + 1] not in _AFTER_THE_HEADER:
        if data[at + 1] == 0xFF:  # a marker may be preceded by any number of these
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] == _APP1 and data.startswith(_PREFIX, at + 4):
            return data[at + 4 : end]
        at = data.find(b"\xff", end)
    return b""


def _chunk(data: bytes, kind: bytes, start: int, kind_first: bool) -> bytes:
    """Content of the first chunk of one kind in a PNG or WebP file, or nothing.

    A PNG's chunk is length, kind, content, checksum; WebP's is kind, length, content, rounded up to an even length.
    """
    at = start
    while at + 8 <= len(data):
        if kind_first:
            found, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
            step = 8 + length + length % 2
        else:
            found, length = data[at + 4 : at + 8], int.from_bytes(data[at : at + 4])
            step = 12 + length
        if found == kind:
            return data[at + 8 : at + 8 + length]
        at += step
    return b""
