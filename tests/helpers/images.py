"""Images and files for tests of `formats`, and the ways to read one as plain functions."""

import io
import struct
import zlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.formats.images import EncodedImage
from segwright.formats.pixels import RGB, Note, PixelFormat, Pixels


class Facts(NamedTuple):
    """What the header and the pixels of an image say; the size is that after transposition where it is requested."""

    height: int
    width: int
    pixel_format: PixelFormat = RGB
    orientation: int = 1
    notes: tuple[Note, ...] = ()


def verify(data: bytes, name: str, exif_transposed: bool = False) -> Facts:
    image = EncodedImage(data, name)
    image.verify()
    pixel_format = replace(image.pixel_format, exif_transposed=exif_transposed)
    return Facts(*image.size(exif_transposed), pixel_format, image.orientation, image.notes(pixel_format.bands))


def decode(data: bytes, name: str, pixel_format: PixelFormat = RGB) -> Pixels:
    return EncodedImage(data, name).decode(pixel_format)


def size(data: bytes, name: str) -> tuple[int, int]:
    return EncodedImage(data, name).size()


def soft_colours(height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    """Soft colours that survive JPEG well."""
    rows, columns = np.indices((height, width))
    return np.stack([40 + rows * 4, 200 - columns * 3, 90 + rows + columns], axis=-1).astype(np.uint8)


def saved(image: Image.Image, container: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, container, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth: int, colour_type: int, width: int, rows: list[bytes], interlaced: int = 0, height: int = 0) -> bytes:
    """A PNG written by hand, for depths that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height or len(rows), depth, colour_type, 0, 0, interlaced)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
