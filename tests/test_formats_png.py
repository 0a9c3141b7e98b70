import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats import masks, png
from segwright.formats.images import EncodedImage
from segwright.formats.masks import decode_mask, encode_mask
from segwright.formats.pixels import PixelFormat
from segwright.formats.png import decode_plain_png, encode_plain_png, without_texts
from segwright.palettes import default_palette
from tests.helpers.fuzzing import mutate
from tests.helpers.images import chunk, verify

MASK = (np.arange(30 * 41).reshape(30, 41) // 7 % 11).astype(np.uint8)
GREY, PALETTE = 0, 3


def png_of(
    mask: NDArray[np.uint8],
    filters: Sequence[int],
    colour: int = PALETTE,
    *,
    before: bytes = b"",
    interlaced: int = 0,
    stream: bytes | None = None,
    pieces: int = 1,
) -> bytes:
    """A PNG file whose rows have these filters."""
    height, width = mask.shape
    if stream is None:
        stream = zlib.compress(
            b"".join(bytes([kind]) + row for kind, row in zip(filters, filtered(mask, filters), strict=True))
        )
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if colour == PALETTE else b""
    step = -(-len(stream) // pieces)
    parts = b"".join(chunk(b"IDAT", stream[at : at + step]) for at in range(0, len(stream), step))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + before + parts + chunk(b"IEND", b"")


def filtered(mask: NDArray[np.uint8], filters: Sequence[int]) -> list[bytes]:
    """Rows as PNG filters them (third edition, section 9.2), in plain words."""
    padded = np.pad(mask.astype(int), ((1, 0), (1, 0)))
    here, left, above, corner = padded[1:, 1:], padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    distances = np.stack([abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)])
    paeth = np.choose(distances.argmin(0), [left, above, corner])
    guesses = [np.zeros_like(here), left, above, (left + above) // 2, paeth]
    return [((here[row] - guesses[kind][row]) % 256).astype(np.uint8).tobytes() for row, kind in enumerate(filters)]


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(data)))


def outcome(data: bytes) -> str:
    """What becomes of a mask: its numbers or the error's text."""
    try:
        mask = decode_mask(data, "m.png").numbers
    except DataError as error:
        # Pillow names the object from which it read, whose address is never the same
        return str(error).split("<_io")[0]
    return f"{mask.dtype} {mask.tolist()}"


def assert_pillow_agrees(data: bytes) -> None:
    fast = outcome(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "decode_plain_png", lambda _: None)
        assert outcome(data) == fast


@pytest.mark.parametrize("colour", [GREY, PALETTE])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_rows_of_one_plain_filter_are_read(kind: int, colour: int) -> None:
    data = png_of(MASK, [kind] * 30, colour)
    decoded = decode_plain_png(data)
    assert decoded is not None and decoded.dtype == np.uint8 and (decoded == MASK).all()
    assert decoded.flags.c_contiguous and decoded.flags.writeable
    assert (by_pillow(data) == MASK).all()


def test_what_others_write_is_read() -> None:
    stream = io.BytesIO()
    coloured = Image.fromarray(MASK)
    coloured.putpalette([200, 10, 10] * 256)
    coloured.save(stream, "PNG", transparency=3, dpi=(72, 72))
    written = bytes(cv2.imencode(".png", MASK)[1])
    for data in (encode_mask(MASK, default_palette(11)), stream.getvalue(), written):
        decoded = decode_plain_png(data)
        assert decoded is not None and (decoded == MASK).all()


@settings(max_examples=100, deadline=None)
@given(
    mask=arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 20))),
    colour=st.sampled_from([GREY, PALETTE]),
    kinds=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    pieces=st.integers(1, 5),
)
def test_any_filters_give_the_mask(mask: NDArray[np.uint8], colour: int, kinds: list[int], pieces: int) -> None:
    filters = [kinds[row % len(kinds)] for row in range(len(mask))]
    data = png_of(mask, filters, colour, pieces=pieces)
    plain = decode_plain_png(data)
    assert (plain is not None) == (len(set(filters)) == 1 and filters[0] <= 2)
    assert (decode_mask(data, "x").numbers == mask).all()


@settings(max_examples=60, deadline=None)
@given(
    mask=arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 12)),
    mode=st.sampled_from(["L", "P"]),
    level=st.integers(0, 9),
    optimised=st.booleans(),
)
def test_what_pillow_writes_comes_back(mask: NDArray[np.uint8], mode: str, level: int, optimised: bool) -> None:
    picture = Image.fromarray(mask)
    if mode == "P":
        picture.putpalette(list(range(39)))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=level, optimize=optimised)
    assert (decode_mask(stream.getvalue(), "x").numbers == mask).all()


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_hostile_bytes_fare_as_with_pillow_alone(seed: int) -> None:
    chance = random.Random(seed)
    kind, colour = chance.randrange(3), chance.choice((GREY, PALETTE))
    before = chance.choice((b"", chunk(b"tRNS", b"\xff\0"), chunk(b"gAMA", b"\0\0\xb1\x8f")))
    assert_pillow_agrees(mutate(png_of(MASK, [kind] * 30, colour, before=before, pieces=chance.choice((1, 3))), chance))


ROWS = b"".join(b"\0" + row.tobytes() for row in MASK)
STREAM = zlib.compress(ROWS)


@pytest.mark.parametrize(
    "stream",
    [
        STREAM[:-1],
        STREAM[:-4] + b"\0\0\0\0",
        STREAM[: len(STREAM) // 2],
        STREAM[:2] + bytes([STREAM[2] | 6]) + STREAM[3:],
        zlib.compress(ROWS + b"\0"),
        zlib.compress(ROWS + bytes(42)),
        zlib.compress(ROWS[:-1]),
        zlib.compress(ROWS[:-1] + bytes(10**6)),
        zlib.compress(b"\5" + ROWS[1:]),
        zlib.compress(ROWS[:-42] + b"\5" + ROWS[-41:]),
    ],
)
def test_damaged_pixels_are_left_to_pillow(stream: bytes) -> None:
    data = png_of(MASK, (), stream=stream)
    assert decode_plain_png(data) is None
    assert_pillow_agrees(data)


@pytest.mark.parametrize(
    "before",
    [
        chunk(b"tEXt", b"a\0b"),
        chunk(b"acTL", bytes(8)),
        chunk(b"PLTE", bytes(4)),
        chunk(b"gAMA", bytes(3)),
        chunk(b"tRNS", bytes(300)),
        chunk(b"IHDR", bytes(13)),
        chunk(b"pHYs", bytes(9))[:-1] + b"\7",
        chunk(b"IEND", b""),
        chunk(b"IDAT", b"") + chunk(b"sRGB", b"\0"),
    ],
)
@pytest.mark.parametrize("colour", [GREY, PALETTE])
def test_unusual_chunks_are_left_to_pillow(before: bytes, colour: int) -> None:
    data = png_of(MASK, [0] * 30, colour, before=before)
    assert decode_plain_png(data) is None
    assert_pillow_agrees(data)


def test_chunks_that_change_nothing_are_passed_over() -> None:
    before = chunk(b"sRGB", b"\0") + chunk(b"pHYs", bytes(9)) + chunk(b"cHRM", bytes(32)) + chunk(b"tRNS", b"\0\1\2")
    for data in (png_of(MASK, [0] * 30, before=before), png_of(MASK, [0] * 30, GREY, before=before) + b"more"):
        assert decode_plain_png(data) is not None
        assert_pillow_agrees(data)


def test_what_follows_the_stream_of_pixels_counts_for_nobody() -> None:
    data = png_of(MASK, (), stream=STREAM + b"more")
    assert decode_plain_png(data) is not None
    assert_pillow_agrees(data)


def test_other_kinds_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = png_of(MASK, [0] * 30)
    assert decode_plain_png(plain) is not None
    assert decode_plain_png(plain[:-1]) is None
    assert decode_plain_png(plain[:20]) is None
    assert decode_plain_png(b"") is None
    assert decode_plain_png(plain[:29] + b"\0" + plain[30:]) is None
    assert decode_plain_png(png_of(MASK, [0] * 30, interlaced=1)) is None
    for mode in ("1", "RGB", "LA", "I;16"):
        stream = io.BytesIO()
        Image.new(mode, (9, 7)).save(stream, "PNG")
        assert decode_plain_png(stream.getvalue()) is None
    monkeypatch.setattr(png, "MAX_PIXELS", 30 * 41 - 1)
    assert decode_plain_png(plain) is None


def test_a_bomb_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    most: list[int] = []

    class Spy:
        """An inflater that notes how much it may give."""

        eof = False

        def __init__(self, make: Callable[[], Any]) -> None:
            self._inflater = make()

        def decompress(self, stream: bytes, most_bytes: int = 1 << 30) -> bytes:
            most.append(most_bytes)
            inflated: bytes = self._inflater.decompress(stream, most_bytes)
            return inflated

    for library in (zlib, isal_zlib):
        monkeypatch.setattr(library, "decompressobj", partial(Spy, library.decompressobj))
    huge = png_of(MASK, (), stream=zlib.compress(bytes(200_000_000), 9))
    assert decode_plain_png(huge) is None
    assert most == [8 * 42, 30 * 42 + 1], "the first rows, and one byte more than there are pixels"


RGB = np.random.default_rng(0).integers(0, 200, (20, 30, 3)).astype(np.uint8)
LARGE = bytes(3 << 20)  # Pillow refuses texts and profiles of more than one megabyte
VERY_LARGE = bytes(65 << 20)  # and texts of more than 64 in all


CHUNKS = {
    "zTXt": chunk(b"zTXt", b"key\0\0" + zlib.compress(LARGE)),
    "iTXt": chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(LARGE)),
    "tEXt": chunk(b"tEXt", b"key\0" + VERY_LARGE),
    "iCCP": chunk(b"iCCP", b"name\0\0" + zlib.compress(LARGE)),
    "eXIf": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0" + LARGE),
}


def with_chunks(pixels: NDArray[np.uint8], before: bytes = b"", after: bytes = b"") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    data = stream.getvalue()
    first, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:first] + before + data[first:end] + after + data[end:]


@pytest.mark.parametrize("kind", CHUNKS)
@pytest.mark.parametrize("after", [False, True])
def test_pixels_do_not_depend_on_texts_and_profiles(kind: str, after: bool) -> None:
    place = {"after" if after else "before": CHUNKS[kind]}
    data = with_chunks(RGB, **place)
    assert without_texts(data) == with_chunks(RGB)
    assert verify(data, "x").pixel_format == PixelFormat()
    assert (EncodedImage(data, "x").decode() == RGB).all()
    assert (decode_mask(with_chunks(RGB[..., 0], **place), "x").numbers == RGB[..., 0]).all()


def test_other_files_stay_the_same_objects() -> None:
    data = with_chunks(RGB, chunk(b"gAMA", struct.pack(">I", 45455)))
    assert without_texts(data) is data


def test_a_text_that_is_cut_off_is_damage() -> None:
    data = with_chunks(RGB, CHUNKS["zTXt"])
    with pytest.raises(DataError, match=r"x is (a PNG file that is damaged|truncated or damaged)"):
        EncodedImage(data[:80], "x").decode()


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.booleans(),
)
def test_what_is_written_is_what_pillow_and_our_own_decoder_read(pixels: NDArray[np.uint8], coloured: bool) -> None:
    palette = np.arange(768, dtype=np.uint8).reshape(256, 3) if coloured else None
    data = encode_plain_png(pixels, palette)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.mode == ("P" if coloured else "L") and (np.asarray(image) == pixels).all()
        if palette is not None:
            assert bytes(image.getpalette() or ()) == palette.tobytes()
    decoded = decode_plain_png(data)
    assert decoded is not None and (decoded == pixels).all()
