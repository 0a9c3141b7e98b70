import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from starlette.exceptions import HTTPException
from tifffile import imwrite

from segwright.formats import file_types as signatures
from segwright.formats.pixels import PixelFormat
from segwright.serving.requests import decode, ignore_mask
from tests.helpers.served import picture, pixels

RGB = PixelFormat()


def refused(body: bytes, form: PixelFormat = RGB) -> tuple[int, str]:
    with pytest.raises(HTTPException) as caught:
        decode(body, form)
    return caught.value.status_code, caught.value.detail


def claiming(width: int, height: int) -> bytes:
    """A PNG of few bytes that claims to be of a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WebP"])
def test_the_bytes_say_what_a_picture_is(kind: str) -> None:
    image = decode(picture(kind), RGB)
    assert image.shape == (40, 57, 3)
    if kind != "WebP" and kind != "JPEG":
        assert (image == pixels(picture(kind))).all()


def test_what_is_no_whole_picture_is_told_with_a_cure() -> None:
    cure = "send one whole JPEG, PNG, TIFF, BMP or WebP image of 3 bands of 8 bits."
    assert refused(b"") == (400, "The body is empty: " + cure.replace("one whole", "the bytes of one"))
    status, sentence = refused(b"hello")
    assert status == 400 and "is not a JPEG" in sentence and sentence.endswith(cure)
    status, sentence = refused(picture("JPEG")[:-300])
    assert status == 400 and "truncated or damaged" in sentence and sentence.endswith(cure)


def bands(count: int, kind: type[np.number] = np.uint16) -> bytes:
    """A TIFF of 5 x 4 pixels."""
    stream = io.BytesIO()
    imwrite(stream, np.zeros((4, 5, count), kind), photometric="minisblack", planarconfig="contig")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "form", "found", "files"),
    [
        (bands(5), RGB, "5 bands of 16 bits", "JPEG, PNG, TIFF, BMP or WebP"),
        (picture(), PixelFormat(5, 16), "3 bands of 8 bits", "TIFF"),
        (picture(), PixelFormat(3, 16), "3 bands of 8 bits", "PNG or TIFF"),
        (picture(), PixelFormat(4), "3 bands of 8 bits", "PNG, TIFF or WebP"),
        (picture(), PixelFormat(2, 16, numbers="int"), "3 bands of 8 bits", "TIFF"),
        (bands(2, np.float32), PixelFormat(2, 16, numbers="int"), "2 bands of 32 bits (floating-point)", "TIFF"),
    ],
)
def test_a_picture_of_other_bands_is_one_sentence_for_clients(
    body: bytes, form: PixelFormat, found: str, files: str
) -> None:
    sentence = f"The image has {found} instead of {form}; send one whole {files} image of {form}."
    assert refused(body, form) == (400, sentence)


def test_floats_are_decoded_with_gaps() -> None:
    stream = io.BytesIO()
    pixels = np.arange(40, dtype=np.float32).reshape(4, 5, 2)
    pixels[1, 2, 0] = -3.4e38
    imwrite(stream, pixels, photometric="minisblack", planarconfig="contig")
    decoded = decode(stream.getvalue(), PixelFormat(2, 32, numbers="float"))
    assert np.isnan(decoded[1, 2, 0]) and np.isnan(decoded).sum() == 1 and decoded[3, 4, 1] == 39


def test_a_mask_for_what_cannot_be_read_has_the_size_of_the_header() -> None:
    for body, size in ((picture()[:100], (40, 57)), (claiming(20, 30), (30, 20)), (b"hello", (1, 1)), (b"", (1, 1))):
        mask = ignore_mask(body, RGB)
        assert mask.shape == size and mask.dtype == np.uint8 and (mask == 255).all()
    assert ignore_mask(claiming(30_000, 30_000), RGB).shape == (1, 1)


@pytest.mark.parametrize("size", [(20_000, 9_000), (30_000, 30_000)])  # beyond our limit, beyond twice of it
def test_a_picture_of_too_many_pixels_is_too_large(size: tuple[int, int]) -> None:
    status, sentence = refused(claiming(*size))
    assert status == 413
    assert f"{size[0]} x {size[1]} pixels" in sentence and "178,956,970" in sentence and "cut it" in sentence
    assert refused(claiming(100, 100))[0] == 400


def test_a_large_jpeg_header_is_too_large_as_well() -> None:
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "JPEG")
    body = bytearray(stream.getvalue())
    start = body.index(b"\xff\xc0") + 5
    body[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
    assert refused(bytes(body))[0] == 413


def test_a_picture_of_too_many_bands_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    form = PixelFormat(7, 16)
    assert decode(bands(7), form).shape == (4, 5, 7)
    monkeypatch.setattr(signatures, "MAX_PIXELS", 4 * 5 * 2)
    status, sentence = refused(bands(7), form)
    assert status == 413 and sentence.startswith("The image has 5 x 4 pixels of 7 bands") and sentence.endswith(".")
