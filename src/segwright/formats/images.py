"""Pictures: bytes to RGB pixels and back.

Knows how the usual formats become three bands of 8 bits, and how to find out cheaply whether a file is whole.
Refuses to know masks, and refuses pictures of other depths instead of quietly squeezing them into 8 bits. So far
every picture becomes RGB: transparency is dropped, and bands other than colours are refused. The orientation noted by
a camera (EXIF) is not applied: masks carry none, and a pair has to stay aligned.
"""

import io
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile

from segwright.errors import DataError
from segwright.formats.containers import check_size, load_picture, open_picture, sniff, stored_bits

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""Endings, in lower case, of the files that are looked for as images."""

_EIGHT_BIT_MODES: Final = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")
)
_PREMULTIPLIED: Final = {"La": "LA", "RGBa": "RGBA"}


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Pixels of one picture: uint8 [H, W, 3], RGB.

    Grey, palette and CMYK pictures become RGB, transparency is dropped. `name` is for messages only. Raises
    DataError for bytes that are no picture, for damaged ones, and for more than 8 bits a band or more than
    four bands.
    """
    if sniff(data) == "JPEG":
        pixels = _decode_jpeg(data, name)
        if pixels is not None:
            return pixels
    picture = _open_eight_bit(data, name)
    load_picture(picture, name)
    return _to_rgb(picture)


def verify_image(data: bytes, name: str) -> tuple[int, int]:
    """Height and width of one picture, after making sure that all of it can be decoded.

    JPEG is read at an eighth of its size and without colour, which passes over every byte yet takes half of
    the time. Raises DataError for everything that `decode_image` refuses.
    """
    if sniff(data) == "JPEG":
        size = _verify_jpeg(data, name)
        if size is not None:
            return size
    picture = _open_eight_bit(data, name)
    load_picture(picture, name)
    return picture.height, picture.width


def encode_jpeg(image: NDArray[np.uint8], quality: int = 92) -> bytes:
    """JPEG bytes of uint8 [H, W, 3] RGB pixels."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorsubsampling="444"))


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 [H, W, 3] RGB pixels."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _decode_jpeg(data: bytes, name: str) -> NDArray[np.uint8] | None:
    """Pixels by libjpeg-turbo, or None where Pillow has to judge."""
    if _jpeg_size(data, name) is None:
        return None
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"))
    except ValueError:
        return None


def _verify_jpeg(data: bytes, name: str) -> tuple[int, int] | None:
    """Size of a JPEG that libjpeg-turbo reads without complaint, or None where Pillow has to judge."""
    size = _jpeg_size(data, name)
    if size is None:
        return None
    try:
        simplejpeg.decode_jpeg(data, colorspace="GRAY", min_factor=8)
    except ValueError:
        return None
    return size


def _jpeg_size(data: bytes, name: str) -> tuple[int, int] | None:
    """Height and width, or None for what libjpeg-turbo refuses or does not turn into RGB (CMYK)."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    check_size(height, width, name)
    return None if colours in ("CMYK", "YCCK") else (height, width)


def _open_eight_bit(data: bytes, name: str) -> ImageFile.ImageFile:
    """Open a picture of one to four bands of at most 8 bits; DataError for any other."""
    picture = open_picture(data, name)
    if picture.mode not in _EIGHT_BIT_MODES or stored_bits(picture, data) > 8:
        raise DataError(
            f"{name} has more than 8 bits a band or an unusual pixel format (Pillow's mode {picture.mode}). "
            "So far images have three bands of 8 bits: convert it to 8-bit RGB."
        )
    return picture


def _to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] of any 8-bit picture."""
    if picture.mode in _PREMULTIPLIED:
        picture = picture.convert(_PREMULTIPLIED[picture.mode])
    # A palette's transparency would make convert() warn that it is lost, which is what is wanted here.
    picture.info.pop("transparency", None)
    return np.array(picture.convert("RGB"))
