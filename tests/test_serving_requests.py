import gzip
import io
import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request
from tifffile import imwrite

from segwright.formats.pixels import PixelFormat
from segwright.serving.requests import Body, content_codings, decode, ignore_mask
from tests.helpers.served import picture, pixels

RGB = PixelFormat()
PLAIN = picture("BMP")
MEBIBYTE = 1 << 20


def refused(body: bytes, pixel_format: PixelFormat = RGB) -> tuple[int, str]:
    with pytest.raises(HTTPException) as caught:
        decode(body, pixel_format)
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
def test_the_bytes_say_what_a_image_is(kind: str) -> None:
    image = decode(picture(kind), RGB)
    assert image.shape == (40, 57, 3)
    if kind != "WebP" and kind != "JPEG":
        assert (image == pixels(picture(kind))).all()


def test_what_is_no_whole_image_is_told_with_a_cure() -> None:
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
    ("body", "pixel_format", "found", "files"),
    [
        (bands(5), RGB, "5 bands of 16 bits", "JPEG, PNG, TIFF, BMP or WebP"),
        (picture(), PixelFormat(5, 16), "3 bands of 8 bits", "TIFF"),
        (picture(), PixelFormat(3, 16), "3 bands of 8 bits", "PNG or TIFF"),
        (picture(), PixelFormat(4), "3 bands of 8 bits", "PNG, TIFF or WebP"),
        (picture(), PixelFormat(2, 16, numbers="int"), "3 bands of 8 bits", "TIFF"),
        (bands(2, np.float32), PixelFormat(2, 16, numbers="int"), "2 bands of 32 bits (floating-point)", "TIFF"),
    ],
)
def test_a_image_of_other_bands_is_one_sentence_for_clients(
    body: bytes, pixel_format: PixelFormat, found: str, files: str
) -> None:
    sentence = f"The image has {found} instead of {pixel_format}; send one whole {files} image of {pixel_format}."
    assert refused(body, pixel_format) == (400, sentence)


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
def test_a_image_of_too_many_pixels_is_too_large(size: tuple[int, int]) -> None:
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


def test_a_image_of_too_many_bands_is_too_large() -> None:
    pixel_format = PixelFormat(7, 16)
    assert decode(bands(7), pixel_format).shape == (4, 5, 7)
    with pytest.raises(HTTPException) as caught:
        decode(bands(7), pixel_format, max_pixels=4 * 5 * 2)
    status, sentence = caught.value.status_code, caught.value.detail
    assert status == 413 and sentence.startswith("The image has 5 x 4 pixels of 7 bands") and sentence.endswith(".")


def bare(data: bytes) -> bytes:
    """Deflate without zlib's wrapper, as some clients send it."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def codings(*headers: str) -> list[str]:
    sent = [(b"content-encoding", header.encode()) for header in headers]
    return content_codings(Request({"type": "http", "headers": sent}))


def undecoded(data: bytes, *names: str, largest: int = MEBIBYTE) -> tuple[int, str]:
    with pytest.raises(HTTPException) as caught:
        Body(data, names, largest, "send less.").decoded()
    return caught.value.status_code, caught.value.detail


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), []),
        (("",), []),
        (("identity",), []),
        (("GZip",), ["gzip"]),
        (("x-gzip",), ["gzip"]),
        (("deflate",), ["deflate"]),
        (("deflate, gzip",), ["gzip", "deflate"]),
        (("deflate", "identity , gzip"), ["gzip", "deflate"]),
    ],
)
def test_codings_are_undone_from_the_last_to_the_first(headers: tuple[str, ...], expected: list[str]) -> None:
    assert codings(*headers) == expected


@pytest.mark.parametrize(
    "header", ["br", "zstd", "compress", "gzip, br", "aws-chunked", "gzip, gzip, gzip", "*", "x" * 999]
)
def test_other_codings_are_415_with_what_is_undone(header: str) -> None:
    with pytest.raises(HTTPException) as caught:
        codings(header)
    assert caught.value.status_code == 415 and caught.value.headers == {"Accept-Encoding": "gzip, deflate, identity"}
    assert caught.value.detail.startswith(f"Content-Encoding is {header[:100]}, but only gzip and deflate are undone")


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (PLAIN, ()),
        (gzip.compress(PLAIN), ("gzip",)),
        (zlib.compress(PLAIN), ("deflate",)),
        (bare(PLAIN), ("deflate",)),
        (gzip.compress(zlib.compress(PLAIN)), ("gzip", "deflate")),
        (gzip.compress(PLAIN[:999]) + gzip.compress(b"") + gzip.compress(PLAIN[999:]), ("gzip",)),
    ],
)
def test_what_was_compressed_comes_out(data: bytes, names: tuple[str, ...]) -> None:
    assert Body(data, names).decoded() == PLAIN


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE])
@pytest.mark.parametrize("dense", [False, True])
def test_every_size_comes_out_whole(size: int, dense: bool) -> None:
    plain = random.Random(size).randbytes(size) if dense else bytes(size)
    assert Body(gzip.compress(plain, 1), ["gzip"]).decoded() == plain
    assert Body(bare(plain), ["deflate"]).decoded() == plain


def test_nothing_is_nothing_in_any_coding() -> None:
    assert Body(b"", ["gzip", "deflate"]).decoded() == b""


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_damaged_data_are_400(name: str) -> None:
    whole = gzip.compress(PLAIN) if name == "gzip" else zlib.compress(PLAIN)
    for data in (whole[:-3], whole[:20], whole[:1], b"poison", whole[:-6] + b"\0\0" + whole[-4:]):
        status, sentence = undecoded(data, name)
        assert status == 400
        assert sentence == (
            f"Content-Encoding says {name}, but the body is no whole {name} data: "
            "leave the header out, or compress the body."
        )
    assert "is a BMP image as it is: leave the header out" in undecoded(PLAIN, name)[1]


def test_what_follows_the_end_is_400() -> None:
    for data in (zlib.compress(PLAIN) + b"x", bare(PLAIN) + b"more"):
        assert undecoded(data, "deflate") == (
            400,
            "Content-Encoding says deflate, but the body goes on after its end: send it alone.",
        )
    assert undecoded(gzip.compress(PLAIN) + b"x", "gzip")[0] == 400
    assert undecoded(gzip.compress(b"") * 70_000, "gzip")[0] == 400, "each member costs time"


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_refused_at_the_limit(layers: int) -> None:
    bomb = bare(bytes(1 << 26))
    for _ in range(layers - 1):
        bomb = bare(bomb)
    tracemalloc.start()
    try:
        status, sentence = undecoded(bomb, *["deflate"] * layers, largest=4 * MEBIBYTE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (status, sentence) == (
        413,
        "The body has 4,194,304 or more bytes when inflated, but 4,194,303 are read at most: send less.",
    )
    assert peak < 8 * MEBIBYTE


def test_a_refused_bomb_leaves_no_memory_behind() -> None:
    bomb = bare(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException) as caught:  # which holds its frames
            Body(bomb, ["deflate"], 16 * MEBIBYTE).decoded()
        assert caught.value.status_code == 413
        assert tracemalloc.get_traced_memory()[0] < 4 * MEBIBYTE
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=99), st.integers(0, 200), st.sampled_from(["gzip", "deflate"]))
def test_whatever_comes_is_inflated_or_refused(noise: bytes, place: int, name: str) -> None:
    whole = gzip.compress(PLAIN[:500]) if name == "gzip" else zlib.compress(PLAIN[:500])
    for data in (noise, whole[:place] + noise + whole[place + len(noise) :]):
        try:
            Body(data, [name]).decoded()
        except HTTPException as error:
            assert error.status_code == 400
