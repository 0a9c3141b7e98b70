"""Which file format some bytes are, and opening them with Pillow.

Knows the signatures of the five formats that are read and the largest picture that is accepted. Refuses to
know what the pixels mean: `images` and `masks` decide that.
"""

import contextlib
import ctypes
import io
import logging
import warnings
from typing import Final, Literal

from PIL import (
    BmpImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from segwright.errors import DataError
from segwright.formats.orientation import ORIENTATION_TAG, without_orientation

Container = Literal["JPEG", "PNG", "TIFF", "BMP", "WebP"]

MAX_PIXELS: Final = 178_956_970
"""Largest picture that is opened, in pixels: Pillow's own limit against decompression bombs (half a gigabyte
as RGB). Pictures of other bands have at most as many numbers as the largest RGB picture, three for each pixel.
"""

# What Pillow finds odd in a file is no news to users: what cannot be read becomes an error anyway. libtiff, which
# decodes compressed TIFFs for Pillow, prints on its own; where it is built in, nothing can be told to it.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)

# Pillow's classes rather than Image.open: no other format can slip in, nothing is imported on first use in a
# thread, and pictures between half of the limit and the limit raise no warning.
_READERS: Final[dict[Container, type[ImageFile.ImageFile]]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_TIFF_SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_BITS_PER_SAMPLE: Final = 258


def sniff(data: bytes) -> Container | None:
    """The format that the first bytes of a file announce, or None when it is none of the five."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(_TIFF_SIGNATURES):
        return "TIFF"
    if data.startswith(b"BM"):
        return "BMP"
    return "WebP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def open_picture(data: bytes, name: str) -> ImageFile.ImageFile:
    """Open the bytes of one picture without decoding its pixels.

    Pixels will be as they are stored, whatever orientation is noted. Raises DataError for bytes that are none of
    the five formats, for a damaged header and for more than MAX_PIXELS.
    """
    container = sniff(data)
    if container is None:
        what = "is empty" if not data else "is not a JPEG, PNG, TIFF, BMP or WebP picture, whatever its name says"
        raise DataError(f"{name} {what}.")
    try:
        picture = _READERS[container](io.BytesIO(without_orientation(data) if container == "TIFF" else data))
        if container == "TIFF":  # Pillow would look for an orientation in the XMP data, too, and turn the pixels
            picture.getexif()[ORIENTATION_TAG] = 1
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # a stranger's bytes: what a decoder raises on them is not limited to OSError
        raise DataError(
            f"{name} is a {container} file that is damaged or of an unusual kind, "
            f"such as more than four bands: {error}."
        ) from error
    check_size(picture.height, picture.width, name)
    return picture


def load_picture(picture: ImageFile.ImageFile, name: str) -> None:
    """Decode all pixels of an opened picture in place; DataError when the file is truncated or damaged."""
    try:
        picture.load()
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # as above
        raise DataError(f"{name} is truncated or damaged: {error}.") from error


def check_size(height: int, width: int, name: str, bands: int = 3) -> None:
    """Raise DataError for a picture without pixels, with more than MAX_PIXELS, or with more than 3 * MAX_PIXELS
    numbers in all its bands.
    """
    if height < 1 or width < 1:
        raise DataError(f"{name} has no pixels: its size is {width} x {height}.")
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are read at most: "
            "cut it into smaller pictures."
        )
    if height * width * bands > 3 * MAX_PIXELS:
        raise DataError(
            f"{name} has {width} x {height} pixels of {bands} bands, more than the {3 * MAX_PIXELS:,} numbers that "
            "are read at most: cut it into smaller pictures."
        )


def stored_bits(picture: ImageFile.ImageFile, data: bytes) -> int:
    """Bits per channel as the file stores them, which Pillow's mode hides (16-bit RGB opens as 8-bit "RGB").

    Source: PNG specification (third edition), section 11.2.1, byte 8 of IHDR; TIFF 6.0, tag 258
    BitsPerSample.
    """
    if isinstance(picture, PngImagePlugin.PngImageFile):
        return data[24]
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return int(max(picture.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))
    return 8
