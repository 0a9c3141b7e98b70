import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats import containers
from segwright.formats.images import decode_image, encode_jpeg, encode_png, verify_image


def picture(height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    """Soft colours that survive JPEG well."""
    rows, columns = np.indices((height, width))
    return np.stack([40 + rows * 4, 200 - columns * 3, 90 + rows + columns], axis=-1).astype(np.uint8)


def saved(image: Image.Image, container: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, container, **options)
    return stream.getvalue()


def png(depth: int, colour_type: int, width: int, rows: list[bytes]) -> bytes:
    """A PNG written by hand, for depths that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("container", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WebP", {"lossless": True}),
    ],
)
def test_lossless_formats_give_their_pixels_whatever_the_name_says(container: str, options: dict[str, object]) -> None:
    data = saved(Image.fromarray(picture()), container, **options)
    decoded = decode_image(data, "misnamed.jpg")
    assert decoded.dtype == np.uint8 and (decoded == picture()).all()
    assert verify_image(data, "misnamed.jpg") == (24, 40)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(progressive: bool) -> None:
    data = saved(Image.fromarray(picture()), "JPEG", quality=95, subsampling=0, progressive=progressive)
    assert np.abs(decode_image(data, "a.jpg").astype(int) - picture()).max() <= 6
    assert verify_image(data, "a.jpg") == (24, 40)


def test_encoders_and_decoders_are_inverse() -> None:
    assert (decode_image(encode_png(picture()), "a.png") == picture()).all()
    decoded = decode_image(encode_jpeg(picture()), "a.jpg").astype(int)
    assert np.abs(decoded - picture()).max() <= 8
    mirrored = picture()[:, ::-1]
    assert np.abs(decode_image(encode_jpeg(mirrored), "a.jpg").astype(int) - mirrored).max() <= 8


@pytest.mark.parametrize(
    ("mode", "container", "expected"),
    [
        ("1", "PNG", (255, 255, 255)),
        ("L", "PNG", (201, 201, 201)),
        ("L", "JPEG", (201, 201, 201)),
        ("LA", "PNG", (201, 201, 201)),
        ("RGBA", "PNG", (200, 201, 202)),
        ("RGBA", "WebP", (200, 201, 202)),
        ("CMYK", "TIFF", (155, 54, 53)),
        ("CMYK", "JPEG", (155, 54, 53)),
    ],
)
def test_other_pixel_formats_become_rgb(mode: str, container: str, expected: tuple[int, int, int]) -> None:
    colours: dict[str, int | tuple[int, ...]] = {
        "1": 1, "L": 201, "LA": (201, 0), "RGBA": (200, 201, 202, 9), "CMYK": (100, 201, 202, 0),
    }  # fmt: skip
    options = {"lossless": True, "exact": True} if container == "WebP" else {}
    data = saved(Image.new(mode, (16, 8), colours[mode]), container, **options)
    decoded = decode_image(data, "x")
    assert decoded.shape == (8, 16, 3)
    assert np.abs(decoded.astype(int) - expected).max() <= 2
    assert verify_image(data, "x") == (8, 16)


def test_palettes_become_colours_and_their_transparency_is_dropped() -> None:
    image = Image.new("P", (5, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    data = saved(image, "PNG", transparency=b"\x00\x80")
    assert (decode_image(data, "x") == [10, 20, 30]).all()


def test_the_rotation_noted_by_a_camera_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(picture()), "JPEG", exif=exif)
    assert decode_image(data, "x").shape == (24, 40, 3)
    assert verify_image(data, "x") == (24, 40)


REFUSED: dict[str, bytes] = {
    "grey of 16 bits": png(16, 0, 2, [b"\0\1\2\3"]),
    "RGB of 16 bits, which Pillow opens as 8": png(16, 2, 1, [b"\0\1\2\3\4\5"]),
    "grey and alpha of 16 bits": png(16, 4, 1, [b"\0\1\2\3"]),
    "TIFF of 16 bits": saved(Image.new("I;16", (3, 3)), "TIFF"),
    "TIFF of floats": saved(Image.new("F", (3, 3)), "TIFF"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("function", [decode_image, verify_image])
def test_other_depths_are_refused_instead_of_squeezed(function: Callable[[bytes, str], object], data: bytes) -> None:
    with pytest.raises(DataError, match=r"deep\.png .*three bands of 8 bits"):
        function(data, "deep.png")


def test_five_bands_are_refused() -> None:
    tags = {256: 1, 257: 1, 258: (8,) * 5, 259: 1, 262: 1, 273: 8, 277: 5, 278: 1, 279: 5}
    entries = b""
    extra = b"\1\2\3\4\5\0"
    offset = 8 + len(extra) + 2 + 12 * len(tags) + 4
    for tag, value in tags.items():
        if isinstance(value, tuple):
            entries += struct.pack("<HHII", tag, 3, len(value), offset)
        else:
            entries += struct.pack("<HHII", tag, 4, 1, value)
    data = struct.pack("<2sHI", b"II", 42, 14) + extra + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    data += struct.pack("<5H", *tags[258])  # type: ignore[misc]
    with pytest.raises(DataError, match=r"five\.tif .*more than four bands"):
        decode_image(data, "five.tif")


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "BMP", "WebP"])
@pytest.mark.parametrize("function", [decode_image, verify_image])
def test_truncation_is_found(function: Callable[[bytes, str], object], container: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), container)
    function(data, "whole")
    with pytest.raises(DataError, match=r"half\.jpg"):
        function(data[: len(data) // 2], "half.jpg")


def test_a_jpeg_that_only_pillow_accepts_is_read() -> None:
    data = encode_jpeg(picture())
    assert data[2:4] == b"\xff\xe0"
    after_first_segment = 4 + int.from_bytes(data[4:6], "big")
    odd = data[:after_first_segment] + b"\0\0" + data[after_first_segment:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(odd)
    assert (decode_image(odd, "x") == decode_image(data, "x")).all()
    assert verify_image(odd, "x") == (24, 40)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"GIF89a"])
def test_what_is_no_picture_is_refused_by_name(data: bytes) -> None:
    for function in (decode_image, verify_image):
        with pytest.raises(DataError, match=r"strange\.png"):
            function(data, "strange.png")


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_PIXELS", 24 * 40 - 1)
    for data in (encode_png(picture()), encode_jpeg(picture())):
        with pytest.raises(DataError, match=r"big .*40 x 24"):
            decode_image(data, "big")


@settings(max_examples=150, deadline=None)
@given(
    which=st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WebP"]),
    edits=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_bytes_give_a_picture_or_a_data_error(which: str, edits: list[tuple[int, int]]) -> None:
    data = bytearray(saved(Image.fromarray(picture()), which))
    for position, value in edits:
        data[position % len(data)] = value
    for function in (decode_image, verify_image):
        try:
            function(bytes(data), "damaged")
        except DataError as error:
            assert "damaged" in str(error)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000))
def test_png_returns_every_pixel(height: int, width: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert (decode_image(encode_png(noise), "x") == noise).all()
    assert verify_image(encode_jpeg(noise), "x") == (height, width)
