"""Which file format some bytes are, and opening them with Pillow.

Knows the signatures of the five formats that are read and the largest picture that is accepted. Refuses to
know what the pixels mean: `images` and `masks` decide that.
"""

import io
from typing import Final, Literal

from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from segwright.errors import DataError

Container = Literal["JPEG", "PNG", "TIFF", "BMP", "WebP"]

MAX_PIXELS: Final = 178_956_970
"""Largest picture that is opened, in pixels: Pillow's own limit against decompression bombs (half a gigabyte
as RGB).
"""

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

    Raises DataError for bytes that are none of the five formats, for a damaged header and for more than
    MAX_PIXELS.
    """
    container = sniff(data)
    if container is None:
        what = "is empty" if not data else "is not a JPEG, PNG, TIFF, BMP or WebP picture, whatever its name says"
        raise DataError(f"{name} {what}.")
    try:
        picture = _READERS[container](io.BytesIO(data))
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
    except Exception as error:  # as above
        raise DataError(f"{name} is truncated or damaged: {error}.") from error


def check_size(height: int, width: int, name: str) -> None:
    """Raise DataError for a picture without pixels or with more than MAX_PIXELS."""
    if height < 1 or width < 1:
        raise DataError(f"{name} has no pixels: its size is {width} x {height}.")
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are read at most: "
            "cut it into smaller pictures."
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
