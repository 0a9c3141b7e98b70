import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from starlette.exceptions import HTTPException
from tifffile import imwrite

from segwright.formats import signatures
from segwright.formats.images import PixelForm
from segwright.serving.requests import decode
from tests.served import picture, pixels

RGB = PixelForm()


def refused(body: bytes, form: PixelForm = RGB) -> tuple[int, str]:
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
    assert refused(b"") == (400, "The body is empty: send the bytes of one image of 3 bands of 8 bits.")
    status, sentence = refused(b"hello")
    assert status == 400 and "is not a JPEG" in sentence and "takes one whole JPEG" in sentence
    status, sentence = refused(picture("JPEG")[:-300])
    assert status == 400 and "truncated or damaged" in sentence
    status, sentence = refused(picture(), PixelForm(bands=4))
    assert status == 400 and "4 bands of 8 bits" in sentence


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
    stream = io.BytesIO()
    imwrite(stream, np.zeros((4, 5, 7), np.uint16), photometric="minisblack", planarconfig="contig")
    form = PixelForm(7, 16)
    assert decode(stream.getvalue(), form).shape == (4, 5, 7)
    monkeypatch.setattr(signatures, "MAX_PIXELS", 4 * 5 * 2)
    status, sentence = refused(stream.getvalue(), form)
    assert status == 413 and sentence.startswith("The image has 5 x 4 pixels of 7 bands") and sentence.endswith(".")
