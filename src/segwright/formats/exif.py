"""EXIF orientation: read without decoding anything, and applied to pixels. A damaged one counts as none.

Source: TIFF 6.0, section 2 and tag 274, which EXIF 2.32 embeds; BigTIFF; PNG, chunk eXIf; WebP, chunk EXIF.
"""

from typing import Any, Final, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.formats.file_types import Container
from segwright.formats.png import chunks

ORIENTATION_TAG: Final = 274

_PREFIX: Final = b"Exif\0\0"
_SHORT: Final = 3  # the type of whole numbers of two bytes in a TIFF directory
_BYTE_ORDERS: Final[dict[bytes, Literal["little", "big"]]] = {b"II": "little", b"MM": "big"}
_APP1: Final = 0xE1
_AFTER_THE_HEADER: Final = (0xD9, 0xDA)  # end of image, start of scan
_MIRRORED: Final = ((), (1,), (0, 1), (0,))  # axes, of orientations 1 to 4; of 5 to 8 after rows and columns change
_FLIP_CODES: Final = {(1,): 1, (0, 1): -1, (0,): 0}
_OPENCV_BANDS: Final = (3, 4)  # OpenCV turns these ten times as fast as numpy; more bands it does not exchange


def exif_orientation(data: bytes, container: Container | None) -> int:
    """Orientation of an image in the format that `sniff` found, 1 to 8; 1 where none is noted legibly."""
    match container:
        case "JPEG":
            exif = _jpeg_exif(data)
        case "PNG":
            exif = next((data[first + 8 : end - 4] for kind, first, end in chunks(data) if kind == b"eXIf"), b"")
        case "WebP":
            exif = _webp_exif(data)
        case "TIFF":
            exif = data
        case _:
            return 1
    entry = _find_entry(exif.removeprefix(_PREFIX))
    return entry.value if entry is not None and 1 <= entry.value <= 8 else 1


def transposed_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Height and width after `transpose`."""
    return (width, height) if orientation >= 5 else (height, width)


def transpose(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels [H, W, bands] of a noted orientation turned and mirrored so that the image is upright; contiguous."""
    axes = _MIRRORED[(orientation - 1) % 4]
    if pixels.shape[2] in _OPENCV_BANDS:
        pixels = cv2.transpose(pixels) if orientation >= 5 else pixels
        return np.ascontiguousarray(cv2.flip(pixels, _FLIP_CODES[axes]) if axes else pixels)
    pixels = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    return np.ascontiguousarray(np.flip(pixels, axes))


def without_orientation(tiff: bytes) -> bytes:
    """The same TIFF file with orientation 1, for decoders that transpose images on their own."""
    entry = _find_entry(tiff)
    if entry is None or entry.value == 1:
        return tiff
    numbers = ((ORIENTATION_TAG, 2), (_SHORT, 2), (1, entry.width), (1, 2), (0, entry.width - 2))
    upright = b"".join(number.to_bytes(size, entry.order) for number, size in numbers)
    return tiff[: entry.start] + upright + tiff[entry.start + len(upright) :]


class _Entry(NamedTuple):
    """An entry of a TIFF directory: tag, type, number of values, value, of 2, 2, `width` and `width` bytes."""

    start: int
    width: int
    order: Literal["little", "big"]
    value: int


def _find_entry(tiff: bytes) -> _Entry | None:
    """The orientation in the first directory; None where there is none, or no directory."""
    order = _BYTE_ORDERS.get(tiff[:2])
    if order is None:
        return None

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], order)

    if (version := number(2, 2)) not in (42, 43):
        return None
    width, first = (4, 2) if version == 42 else (8, 8)  # 43 is BigTIFF
    directory, size = number(width, width), 4 + 2 * width
    entries = min(number(directory, first), 0xFFFF)
    for start in range(directory + first, min(directory + first + entries * size, len(tiff)), size):
        if number(start, 2) == ORIENTATION_TAG:
            value = number(start + 4 + width, 2) if number(start + 2, 2) == _SHORT else 0
            return _Entry(start, width, order, value)
    return None


def _jpeg_exif(data: bytes) -> bytes:
    """Content of the first EXIF segment, or nothing; stops where the pixels begin."""
    start = data.find(b"\xff", 2)
    while 0 <= start < len(data) - 4 and data[start + 1] not in _AFTER_THE_HEADER:
        if data[start + 1] == 0xFF:  # a marker may be preceded by any number of these
            start += 1
            continue
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if data[start + 1] == _APP1 and data.startswith(_PREFIX, start + 4):
            return data[start + 4 : end]
        start = data.find(b"\xff", end)
    return b""


def _webp_exif(data: bytes) -> bytes:
    """Content of the chunk EXIF, or nothing. A chunk is kind, length, content, rounded up to an even length."""
    start = 12
    while start + 8 <= len(data):
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        if data[start : start + 4] == b"EXIF":
            return data[start + 8 : start + 8 + length]
        start += 8 + length + length % 2
    return b""
