"""Opening pictures with Pillow, and decoding them.

Knows Pillow's reader of each format, and how it is kept to that format and quiet. Refuses to know what the pixels mean:
`images` and `masks` decide that.
"""

import contextlib
import ctypes
import io
import logging
import warnings
from typing import Final

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
from segwright.formats.chunks import without_texts
from segwright.formats.damage import damage_as_data_error
from segwright.formats.disguises import recognise, was_taken_for_text
from segwright.formats.exif import ORIENTATION_TAG, without_orientation
from segwright.formats.file_types import Container, check_size, sniff

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
_TIFF_BITS_PER_SAMPLE: Final = 258


def open_picture(data: bytes, name: str) -> ImageFile.ImageFile:
    """Open the bytes of one picture without decoding its pixels.

    Pixels will be as they are stored, whatever orientation is noted. Raises DataError for bytes that are none of
    the five formats and for a damaged header, TooLargeError for more than MAX_PIXELS.
    """
    container = sniff(data)
    if container is None or (container == "BMP" and was_taken_for_text(data)):
        raise DataError(f"{name} {_what_else(data)}.")
    match container:
        case "TIFF":
            shown = without_orientation(data)
        case "PNG":
            shown = without_texts(data)
        case _:
            shown = data
    what = f"{name} is a {container} file that is damaged or of an unusual kind, such as more than four bands"
    with damage_as_data_error(what):
        picture = _READERS[container](io.BytesIO(shown))
        if container == "TIFF":  # Pillow would look for an orientation in the XMP data, too, and turn the pixels
            picture.getexif()[ORIENTATION_TAG] = 1
    check_size(picture.height, picture.width, name)
    return picture


def _what_else(data: bytes) -> str:
    """What bytes are that are no picture, and the cure where it is known."""
    if not data:
        return "is empty"
    if found := recognise(data):
        return f"is {found.what}: {found.cure}"
    return "is not a JPEG, PNG, TIFF, BMP or WebP picture, whatever its name says"


def load_picture(picture: ImageFile.ImageFile, name: str) -> None:
    """Decode all pixels of an opened picture in place; DataError when the file is truncated or damaged."""
    with damage_as_data_error(f"{name} is truncated or damaged"):
        picture.load()


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
