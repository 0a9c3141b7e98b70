"""TIFFs of bands and PNGs of 16 bits."""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tifffile import imwrite

from segwright.formats.images import EncodedImage
from segwright.formats.pixels import PixelFormat
from tests.helpers.images import chunk, verify

HEIGHT, WIDTH = 21, 34


def numbers(bands: int, bits: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[Any]:
    """Noise over the whole range, [H, W, bands]."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(bands).integers(0, 2**bits, (height, width, bands)).astype(dtype)


def tiff(pixels: NDArray[Any], photometric: str = "minisblack", planar: str = "contig", **options: Any) -> bytes:
    stream = io.BytesIO()
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels.transpose(2, 0, 1) if planar == "separate" else pixels
    if pixels.shape[2] > 1:
        options["planarconfig"] = planar
    imwrite(stream, shown, photometric=photometric, metadata=None, **options)
    return stream.getvalue()


def opencv(container: str, pixels: NDArray[Any]) -> bytes:
    """Written by OpenCV, from R, G, B and opacity."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
    done, data = cv2.imencode(container, np.ascontiguousarray(pixels[..., order]))
    assert done
    return data.tobytes()


def png16(colour_type: int, pixels: NDArray[Any], interlaced: bool = False) -> bytes:
    """A PNG of 16 bits written by hand, every row with another filter byte where that changes nothing."""

    height, width, _ = pixels.shape
    stored = pixels.astype(">u2")
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    passes = [stored[top::down, left::right] for top, left, down, right in starts] if interlaced else [stored]
    rows = [b"\0" + row.tobytes() for part in passes if part.size for row in part]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, interlaced)
    body = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def natural(data: bytes) -> PixelFormat:
    facts = verify(data, "x")
    assert EncodedImage(data, "x").size() == (facts.height, facts.width) == (HEIGHT, WIDTH)
    return facts.pixel_format
