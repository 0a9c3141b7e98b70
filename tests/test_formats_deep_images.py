import io
import itertools
import logging
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffWriter, imwrite

from segwright.errors import DataError, TooLargeError
from segwright.formats import file_types as signatures
from segwright.formats import tiff as tiff_module
from segwright.formats.images import EncodedImage, encode_jpeg, encode_png
from segwright.formats.masks import decode_mask
from segwright.formats.pixels import Note, PixelFormat
from segwright.formats.quiet import silence_decoders
from tests.helpers.images import decode, size, verify

HEIGHT, WIDTH = 21, 34


@pytest.fixture(autouse=True)
def quiet_decoders() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("PIL", "tifffile")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        silence_decoders()
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


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

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

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
    return facts.form


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 13])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd", "packbits"])
def test_all_bands_of_a_tiff(bands: int, bits: int, planar: str, compression: str | None) -> None:
    pixels = numbers(bands, bits)
    layouts: list[dict[str, Any]] = [{}, {"tile": (16, 16)}, {"rowsperstrip": 4}, {"byteorder": ">"}]
    if compression in ("lzw", "deflate"):
        layouts.append({"predictor": True})
    for options in layouts:
        data = tiff(pixels, planar=planar, compression=compression, **options)
        ordinary = bands == 1 and bits == 8
        assert natural(data) == PixelFormat(3 if ordinary else bands, bits), options
        decoded = EncodedImage(data, "x").decode(PixelFormat(bands, bits))
        assert decoded.dtype == pixels.dtype and decoded.dtype.isnative and decoded.flags.c_contiguous
        assert (decoded == pixels).all(), options


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_colours_of_a_tiff(planar: str, bits: int, compression: str | None) -> None:
    pixels = numbers(3, bits)
    data = tiff(pixels, "rgb", planar, compression=compression)
    assert natural(data) == PixelFormat(3, bits)
    assert (EncodedImage(data, "x").decode(PixelFormat(3, bits)) == pixels).all()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("photometric", "colours"), [("minisblack", 1), ("rgb", 3)])
def test_opacity_of_a_tiff_is_dropped_unless_asked_for(planar: str, bits: int, photometric: str, colours: int) -> None:
    pixels = numbers(colours + 1, bits)
    for extra in ("unassalpha", "assocalpha"):
        data = tiff(pixels, photometric, planar, extrasamples=[extra])
        by_pillow = bits == 8 and planar == "contig"
        bands = 3 if by_pillow else colours
        assert natural(data) == PixelFormat(bands, bits)
        if not by_pillow or extra == "unassalpha":
            assert (EncodedImage(data, "x").decode(PixelFormat(bands, bits)) == pixels[..., :colours]).all()
        if not by_pillow:
            assert (EncodedImage(data, "x").decode(PixelFormat(colours + 1, bits)) == pixels).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_near_infrared_is_a_band_and_no_opacity(bits: int, planar: str) -> None:
    pixels = numbers(4, bits)
    data = tiff(pixels, "rgb", planar, extrasamples=["unspecified"])
    assert natural(data) == PixelFormat(4, bits)
    assert (EncodedImage(data, "x").decode(PixelFormat(4, bits)) == pixels).all()
    with pytest.raises(DataError, match=rf"x has 4 bands of {bits} bits instead of 3 bands of {bits} bits"):
        EncodedImage(data, "x").decode(PixelFormat(3, bits))
    more = tiff(numbers(5, bits), "rgb", planar, extrasamples=["unassalpha", "unspecified"])
    assert natural(more) == PixelFormat(5, bits)


def test_a_tiff_written_by_hand() -> None:
    """Five bands of 8 bits, one pixel: the numbers 1 to 5."""
    tags: dict[int, int | tuple[int, ...]] = {
        256: 1, 257: 1, 258: (8,) * 5, 259: 1, 262: 1, 273: 8, 277: 5, 278: 1, 279: 5,
    }  # fmt: skip
    extra = b"\1\2\3\4\5\0"
    offset = 8 + len(extra) + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, value in tags.items():
        if isinstance(value, tuple):
            entries += struct.pack("<HHII", tag, 3, len(value), offset)
        else:
            entries += struct.pack("<HHII", tag, 4, 1, value)
    data = struct.pack("<2sHI", b"II", 42, 14) + extra + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    data += struct.pack("<5H", *(8,) * 5)
    assert EncodedImage(data, "five.tif").decode(PixelFormat(5, 8)).tolist() == [[[1, 2, 3, 4, 5]]]
    with pytest.raises(DataError, match=r"five\.tif has 5 bands of 8 bits instead of 3 bands of 8 bits"):
        EncodedImage(data, "five.tif").decode()


@pytest.mark.parametrize("container", [".tiff", ".png"])
@pytest.mark.parametrize("bands", [1, 3])
def test_files_of_opencv(container: str, bands: int) -> None:
    pixels = numbers(bands, 16)
    data = opencv(container, pixels)
    assert natural(data) == PixelFormat(bands, 16)
    assert (EncodedImage(data, "x").decode(PixelFormat(bands, 16)) == pixels).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_files_of_pillow(mode: str) -> None:
    pixels = numbers(1, 16)
    raw = pixels.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    for container in ("TIFF", "PNG") if mode == "I;16" else ("TIFF",):
        stream = io.BytesIO()
        Image.frombytes(mode, (WIDTH, HEIGHT), raw).save(stream, container)
        assert (EncodedImage(stream.getvalue(), "x").decode(PixelFormat(1, 16)) == pixels).all()


@pytest.mark.parametrize(("colour_type", "samples", "bands"), [(0, 1, 1), (2, 3, 3), (4, 2, 1), (6, 4, 3)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_png_of_16_bits(colour_type: int, samples: int, bands: int, interlaced: bool) -> None:
    pixels = numbers(samples, 16)
    data = png16(colour_type, pixels, interlaced)
    assert natural(data) == PixelFormat(bands, 16)
    decoded = EncodedImage(data, "x").decode(PixelFormat(bands, 16))
    assert decoded.dtype == np.uint16 and decoded.flags.c_contiguous
    assert (decoded == pixels[..., :bands]).all()
    if samples > bands:
        assert (EncodedImage(data, "x").decode(PixelFormat(samples, 16)) == pixels).all()
    assert EncodedImage(data, "x").decode_reduced(PixelFormat(bands, 16), 8)[1] == 1


def test_filters_of_a_png_of_16_bits() -> None:
    """OpenCV chooses filters by row, soft pictures make it use all of them."""
    rows, columns = np.indices((64, 80))
    pixels = np.stack([rows * columns * 11, rows * 900, columns * 700, rows * 3 + columns], axis=-1).astype(np.uint16)
    for shown in (pixels[..., :1], pixels[..., :3], pixels):
        data = opencv(".png", shown)
        assert (EncodedImage(data, "x").decode(PixelFormat(shown.shape[2], 16)) == shown).all()


@pytest.mark.parametrize(
    "data",
    [png16(0, numbers(1, 16)), png16(4, numbers(2, 16)), tiff(numbers(1, 16))],
    ids=["PNG", "PNG with opacity", "TIFF"],
)
def test_grey_of_16_bits_is_repeated_for_three_bands(data: bytes) -> None:
    decoded = EncodedImage(data, "x").decode(PixelFormat(3, 16))
    assert decoded.shape == (HEIGHT, WIDTH, 3)
    assert (decoded == EncodedImage(data, "x").decode(PixelFormat(1, 16))).all()


def test_where_white_is_zero_numbers_are_inverted() -> None:
    pixels = numbers(1, 16)
    assert (EncodedImage(tiff(pixels, "miniswhite"), "x").decode(PixelFormat(1, 16)) == 65535 - pixels).all()
    grey = numbers(1, 8)
    assert (EncodedImage(tiff(grey, "miniswhite"), "x").decode(PixelFormat(1, 8)) == 255 - grey).all()


def pages(*written: tuple[NDArray[Any], dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    with TiffWriter(stream) as writer:
        for pixels, options in written:
            writer.write(pixels, photometric="minisblack", metadata=None, **options)
    return stream.getvalue()


def test_of_pages_only_the_first_counts_and_the_number_is_noted() -> None:
    first = numbers(1, 16)
    data = pages((first[..., 0], {}), (numbers(5, 8, 9, 50), {"planarconfig": "contig"}), (first[..., 0] // 2, {}))
    assert natural(data) == PixelFormat(1, 16)
    assert (EncodedImage(data, "x").decode(PixelFormat(1, 16)) == first).all()
    assert verify(data, "x").notes == (Note("pages", 3),)
    grey = numbers(1, 8)[..., 0]
    assert verify(pages((grey, {}), (grey, {})), "x").notes == (Note("pages", 2),)


def test_pyramids_and_masks_are_no_pages() -> None:
    for bits in (8, 16):
        pixels = numbers(1, bits, 64, 96)[..., 0]
        data = pages(
            (pixels, {}),
            (pixels[::2, ::2], {"subfiletype": 1}),
            (pixels[::4, ::4], {}),
            (np.ones((64, 96), np.bool_), {"subfiletype": 4}),
        )
        assert verify(data, "x").notes == ()


CHANNELS = numbers(4, 16).transpose(2, 0, 1)


def stacked(stack: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    imwrite(stream, stack, photometric="minisblack", **options)
    return stream.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("writer", [{"imagej": True}, {"ome": True}, {}], ids=["ImageJ", "OME", "tifffile"])
def test_channels_of_microscopy_programs_are_bands(writer: dict[str, bool], compression: str | None) -> None:
    data = stacked(CHANNELS, metadata={"axes": "CYX"}, compression=compression, **writer)
    assert natural(data) == PixelFormat(4, 16) and verify(data, "x").notes == ()
    assert (EncodedImage(data, "x").decode(PixelFormat(4, 16)) == numbers(4, 16)).all()
    eight = stacked((CHANNELS[:3] >> 8).astype(np.uint8), metadata={"axes": "CYX"}, compression=compression, **writer)
    assert natural(eight) == PixelFormat(3, 8)
    assert (EncodedImage(eight, "x").decode() == numbers(4, 16)[..., :3] >> 8).all()
    floats = stacked(CHANNELS.astype(np.float32), metadata={"axes": "CYX"}, compression=compression, **writer)
    assert natural(floats) == PixelFormat(4, 32, numbers="float")


@pytest.mark.parametrize(
    ("axes", "writer"),
    [
        ("ZCYX", {"imagej": True}), ("ZCYX", {"ome": True}), ("TCYX", {"ome": True}), ("CZYX", {"ome": True}),
        ("TZCYX", {}), ("CZYX", {}),
    ],
)  # fmt: skip
def test_of_slices_the_first_counts_with_all_its_channels(axes: str, writer: dict[str, bool]) -> None:
    shape = tuple({"C": 4, "Z": 3, "T": 2, "Y": HEIGHT, "X": WIDTH}[axis] for axis in axes)
    stack = np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)
    data = stacked(stack, metadata={"axes": axes}, **writer)
    first = stack[tuple(slice(None) if axis in "CYX" else 0 for axis in axes)]
    assert natural(data) == PixelFormat(4, 16)
    assert (EncodedImage(data, "x").decode(PixelFormat(4, 16)) == first.transpose(1, 2, 0)).all()
    assert verify(data, "x").notes == (Note("pages", int(np.prod(shape[:-2])) // 4),)


def test_imagej_stacks_of_one_page_only() -> None:
    """As ImageJ writes them beyond 4 GB: the planes follow one another, big ones first."""
    whole = stacked(CHANNELS, imagej=True, metadata={"axes": "CYX"}, byteorder=">")
    with TiffFile(io.BytesIO(whole)) as file:
        page = file.pages.first
        entries = struct.unpack_from(">H", whole, page.offset)[0]
    data = bytearray(whole)
    struct.pack_into(">I", data, page.offset + 2 + 12 * entries, 0)
    with TiffFile(io.BytesIO(data)) as file:
        assert len(file.pages) == 1
    assert (EncodedImage(bytes(data), "x").decode(PixelFormat(4, 16)) == numbers(4, 16)).all()
    cut = bytes(data[: page.dataoffsets[0] + 3 * HEIGHT * WIDTH * 2])
    if page.offset < page.dataoffsets[0]:
        assert verify(cut, "x").form == PixelFormat(1, 16), "what is not there is no band"


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "i8"])
@pytest.mark.parametrize("bands", [2, 5, 13])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"metadata": {"axes": "YXC"}}])
def test_rows_of_which_tifffile_made_pages_are_one_picture(dtype: str, bands: int, options: dict[str, Any]) -> None:
    pixels = numbers(bands, 8, 40, 50).astype(dtype)
    stream = io.BytesIO()
    imwrite(stream, pixels, **options)  # nobody says that the last axis holds bands
    with TiffFile(io.BytesIO(stream.getvalue())) as file:
        assert len(file.pages) == 40
    facts = verify(stream.getvalue(), "a.tif")
    assert (facts.height, facts.width, facts.form.bands, facts.notes) == (40, 50, bands, ())
    assert (EncodedImage(stream.getvalue(), "a.tif").decode(facts.form) == pixels).all()
    with pytest.raises(DataError):
        EncodedImage(stream.getvalue()[:1000], "a.tif").decode(facts.form)


@pytest.mark.parametrize("shape", [(6, 40, 50), (40, 50, 25), (40, 50, 40)])
def test_pages_that_may_be_slices_are_no_rows(shape: tuple[int, int, int]) -> None:
    stream = io.BytesIO()
    imwrite(stream, np.zeros(shape, np.uint8))
    facts = verify(stream.getvalue(), "a.tif")
    assert (facts.height, facts.width, facts.notes) == (*shape[1:], (Note("pages", shape[0]),))


def test_slices_without_channels_are_counted() -> None:
    for writer in ({"imagej": True}, {"ome": True}):
        data = stacked(CHANNELS, metadata={"axes": "ZYX"}, **writer)
        assert natural(data) == PixelFormat(1, 16)
        assert verify(data, "x").notes == (Note("pages", 4),)


def test_opacity_with_the_values_of_a_picture_is_noted() -> None:
    band, soft = numbers(4, 16), numbers(4, 16)
    soft[..., 3] = 65535
    soft[:5, :, 3] = np.linspace(0, 65535, WIDTH)
    for pixels, notes in ((band, (Note("band", 4, "4"),)), (soft, ())):
        for data in (png16(6, pixels), tiff(pixels, "rgb", extrasamples=["unassalpha"])):
            assert verify(data, "x").notes == notes
            assert EncodedImage(data, "x").notes(3) == notes
            assert EncodedImage(data, "x").notes(4) == ()


REFUSED = {
    "16 bits for 8": (png16(0, numbers(1, 16)), PixelFormat(), "1 band of 16 bits instead of 3 bands of 8 bits"),
    "colour of 16 bits, which Pillow opens as 8": (
        png16(2, numbers(3, 16)), PixelFormat(), "3 bands of 16 bits instead of 3 bands of 8 bits",
    ),
    "TIFF of 16 bits": (tiff(numbers(1, 16)), PixelFormat(1, 8), "1 band of 16 bits instead of 1 band of 8 bits"),
    "colour of 16 bits for grey": (png16(2, numbers(3, 16)), PixelFormat(1, 16),
        "3 bands of 16 bits instead of 1 band"),
    "two bands for three": (tiff(numbers(2, 16)), PixelFormat(3, 16),
        "2 bands of 16 bits instead of 3 bands of 16 bits"),
    "8 bits for 16": (tiff(numbers(5, 8)), PixelFormat(5, 16), "5 bands of 8 bits instead of 5 bands of 16 bits"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "form", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_other_forms_are_refused_instead_of_squeezed(data: bytes, form: PixelFormat, sentence: str) -> None:
    with pytest.raises(DataError, match=rf"deep\.png has {sentence}.*convert this file, or train on"):
        EncodedImage(data, "deep.png").decode(form)
    verify(data, "deep.png")


KINDS = {
    np.int8: ("int", 8), np.int16: ("int", 16), np.int32: ("int", 32), np.int64: ("int", 64), np.uint32: ("uint", 32),
    np.uint64: ("uint", 64), np.float16: ("float", 32), np.float32: ("float", 32), np.float64: ("float", 32),
}  # fmt: skip


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 6])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_other_numbers_become_float32(dtype: type[np.generic], bands: int, planar: str) -> None:
    signed = np.dtype(dtype).kind != "u"
    stored = (numbers(bands, 8).astype(np.int64) // 2 - 60 * signed).astype(dtype)
    stored[3, 4] = 7
    kind, bits = KINDS[dtype]
    for options in (
        {},
        {"compression": "deflate", "predictor": np.dtype(dtype).itemsize < 8},
        {"compression": "lzw", "byteorder": ">"},
    ):
        data = tiff(stored, planar=planar, **options)
        form = PixelFormat(bands, bits, numbers=kind)  # type: ignore[arg-type]
        assert natural(data) == form
        pixels = EncodedImage(data, "x").decode(form)
        assert pixels.dtype == np.float32 == form.dtype and pixels.flags.c_contiguous
        assert (pixels == stored.astype(np.float32)).all(), options
    assert verify(data, "x").notes == ()


def test_complex_numbers_are_refused_with_a_command() -> None:
    for bands in (1, 3):
        data = tiff(numbers(bands, 8).astype(np.complex64))
        for function in (decode, verify):
            with pytest.raises(
                DataError, match=r"odd\.tif holds an image of complex numbers of 64 bits.*gdal_translate"
            ):
                function(data, "odd.tif")


def test_kinds_of_numbers_are_not_taken_for_one_another() -> None:
    data = tiff(numbers(2, 8).astype(np.int16))
    with pytest.raises(DataError, match=r"2 bands of 16 bits \(signed\) instead of 2 bands of 16 bits\."):
        EncodedImage(data, "x").decode(PixelFormat(2, 16))
    with pytest.raises(DataError, match=r"\(signed\) instead of 2 bands of 32 bits \(floating-point\)"):
        EncodedImage(data, "x").decode(PixelFormat(2, 32, numbers="float"))


@pytest.mark.parametrize(
    ("dtype", "tag", "gap"),
    [
        (np.float32, None, np.nan), (np.float32, None, -np.inf), (np.float32, None, -3.4028234663852886e38),
        (np.float32, None, 9.96921e36), (np.float32, "-9999", -9999), (np.float32, None, -9999), (np.float32, "0", 0),
        (np.float64, "-3.40282346638529e+38", -3.4028234663852886e38), (np.float64, "nan", np.nan),
        (np.float16, None, np.inf), (np.int16, "-9999", -9999), (np.int16, None, -32768), (np.int16, "-200", -200),
        (np.int32, "-2147483648", -(2**31)), (np.uint32, "4294967295", 2**32 - 1), (np.float32, " 1e3 ", 1000),
    ],
)  # fmt: skip
def test_no_data_is_nan_and_noted(dtype: type[np.generic], tag: str | None, gap: float) -> None:
    stored = (numbers(2, 8) % 100 + 1).astype(dtype)
    stored[2:4, 5:9, 1] = gap
    data = tiff(stored, extratags=[(42113, "s", 0, tag, True)] if tag else ())
    facts = verify(data, "x")
    assert [(note.kind, note.count) for note in facts.notes] == [("no-data", 8)]
    pixels = EncodedImage(data, "x").decode(facts.form)
    gaps = np.zeros(stored.shape, np.bool_)
    gaps[2:4, 5:9, 1] = True
    assert (np.isnan(pixels) == gaps).all() and (pixels[~gaps] == stored[~gaps].astype(np.float32)).all()


def test_other_negative_numbers_are_data() -> None:
    stored = np.array([[[-1], [-100], [-10994]]], np.int16)
    facts = verify(tiff(stored), "x")
    assert facts.notes == ()
    assert EncodedImage(tiff(stored), "x").decode(facts.form).ravel().tolist() == [-1, -100, -10994]


def test_rounding_is_noted() -> None:
    stored = np.array([[[1], [2**24 + 1], [-9999]]], np.int32)
    notes = verify(tiff(stored), "x").notes
    assert [(note.kind, note.detail) for note in notes] == [("no-data", "-9999"), ("rounded", str(2**24 + 1))]
    assert verify(tiff(stored.clip(-9998, 2**24)), "x").notes == ()


def test_a_volume_is_refused() -> None:
    stream = io.BytesIO()
    imwrite(stream, np.zeros((16, 16, 16), np.uint16), photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    with pytest.raises(DataError, match=r"x holds a volume"):
        verify(stream.getvalue(), "x")


def test_a_compression_that_is_not_read_is_named() -> None:
    data = tiff(numbers(4, 8), compression="lzma")
    with pytest.raises(DataError, match=r"x is compressed \(TIFF's number 34925\).*not read.*save it with LZW"):
        verify(data, "x")


@pytest.mark.parametrize(("number", "kind"), [(50001, "WebP"), (34887, "LERC"), (34712, "JPEG 2000")])
def test_lossy_compressions_of_colours_are_named_and_not_called_damage(number: int, kind: str) -> None:
    data = tiff(numbers(3, 8), "rgb").replace(
        struct.pack("<HHII", 259, 3, 1, 1), struct.pack("<HHII", 259, 3, 1, number)
    )
    with pytest.raises(DataError, match=f"a.tif is compressed .{kind}, .* gdal_translate -co COMPRESS=DEFLATE"):
        verify(data, "a.tif")


def test_without_imagecodecs_deflate_is_read_and_the_cure_for_others_is_named(tmp_path: Any) -> None:
    pixels = numbers(4, 16)
    for compression in (None, "deflate", "lzw"):
        (tmp_path / f"{compression}.tif").write_bytes(tiff(pixels, compression=compression, predictor=False))
    code = """
import sys
sys.modules["imagecodecs"] = None
from pathlib import Path
from segwright.errors import DataError
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import PixelFormat
def decode(name): return EncodedImage(Path(name).read_bytes(), name).decode(PixelFormat(4, 16))
print(*(decode(name).sum() for name in ("None.tif", "deflate.tif")))
try:
    decode("lzw.tif")
except DataError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    sums, sentence = result.stdout.splitlines()
    assert sums == f"{pixels.sum()} {pixels.sum()}"
    assert sentence.startswith("lzw.tif is compressed") and "pip install 'segwright[decoders]'" in sentence
    assert result.stderr == ""


@pytest.mark.parametrize("has_imagecodecs", [False, True])
def test_a_bomb_is_not_inflated(has_imagecodecs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "_HAS_IMAGECODECS", has_imagecodecs)
    data = tiff(np.zeros((8, 8, 4), np.uint16), compression="deflate")
    bomb = zlib.compress(bytes(1 << 27), 9)
    page = TiffFile(io.BytesIO(data)).pages.first
    mutated = bytearray(data[: page.dataoffsets[0]] + bomb)
    struct.pack_into("<HHII", mutated, page.tags["StripByteCounts"].offset, 279, 4, 1, len(bomb))
    sentence = "" if has_imagecodecs else "a strip or tile is larger than the 512 bytes"
    with pytest.raises(DataError, match=rf"bomb\.tif is truncated or damaged: .*{sentence}"):
        EncodedImage(bytes(mutated), "bomb.tif").decode(PixelFormat(4, 16))


def test_numbers_in_all_bands_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "MAX_PIXELS", HEIGHT * WIDTH)
    assert natural(tiff(numbers(3, 16))) == PixelFormat(3, 16)
    for function in (verify, size):
        with pytest.raises(TooLargeError, match=r"x has 34 x 21 pixels of 4 bands, more than the 2,142 numbers"):
            function(tiff(numbers(4, 16)), "x")
    monkeypatch.setattr(signatures, "MAX_PIXELS", HEIGHT * WIDTH - 1)
    for data in (tiff(numbers(1, 16)), png16(0, numbers(1, 16))):
        with pytest.raises(TooLargeError, match=r"x has 34 x 21 pixels, more than"):
            verify(data, "x")


@pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts"])
def test_a_missing_strip_is_not_filled_with_zeros(tag: str) -> None:
    data = bytearray(tiff(numbers(4, 16), compression="lzw", rowsperstrip=5))
    place = TiffFile(io.BytesIO(data)).pages.first.tags[tag]
    data[place.valueoffset : place.valueoffset + 2] = bytes(2)
    with pytest.raises(DataError, match=r"x is truncated or damaged: a strip or tile of \d+ bytes at \d+ is not"):
        verify(bytes(data), "x")


@pytest.mark.parametrize("tag", [322, 323])
def test_a_huge_tile_is_refused(tag: int) -> None:
    data = bytearray(tiff(numbers(4, 16), tile=(16, 16), compression="lzw"))
    places = [at for at in range(len(data) - 12) if struct.unpack_from("<H", data, at)[0] == tag]
    struct.pack_into("<HHII", data, places[0], tag, 4, 1, 0x7FFFFFF0)
    with pytest.raises(DataError, match=r"x is truncated or damaged: a strip or tile .*larger than any"):
        verify(bytes(data), "x")


SAMPLES: dict[str, bytes] = {
    **{f"PNG {kind}": png16(kind, numbers(samples, 16)) for kind, samples in ((0, 1), (2, 3), (4, 2), (6, 4))},
    **{
        f"TIFF {bands} {bits} {planar} {compression}": tiff(
            numbers(bands, bits), planar=planar, compression=compression, rowsperstrip=5
        )
        for bands, bits, planar, compression in itertools.product(
            (2, 4), (8, 16), ("contig", "separate"), (None, "lzw", "deflate")
        )
    },
    "TIFF tiles": tiff(numbers(5, 16), tile=(16, 16), compression="zstd"),
    "TIFF colour": tiff(numbers(3, 8), "rgb"),
    "TIFF opacity": tiff(numbers(4, 16), "rgb", extrasamples=["unassalpha"]),
}


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES.keys())
def test_truncation_is_found(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    form = natural(data)
    ends = [1, 30, len(data) // 4, len(data) // 2, len(data) * 3 // 4, len(data) - 60]
    for end in ends if data.startswith(b"\x89PNG") else [*ends, len(data) - 1]:
        for function in (lambda data, name: EncodedImage(data, name).decode(form), verify):
            with pytest.raises(DataError, match=r"cut\.tif"):
                function(data[:end], "cut.tif")
    assert capfd.readouterr() == ("", "")


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The same bytes with up to six others, half of the time in the header, or with a piece cut out."""
    result = np.frombuffer(data, np.uint8).copy()
    limit = len(result) if random.random() < 0.5 else min(len(result), 300)
    places = random.integers(0, limit, random.integers(1, 7))
    result[places] = random.choice([0, 1, 2, 3, 8, 16, 127, 255, int(random.integers(256))], len(places))
    if random.random() < 0.15:
        start, stop = sorted(random.integers(0, len(result), 2))
        result = np.delete(result, slice(start, stop))
    return result.tobytes()


def test_masks_of_many_bands_are_refused_in_silence(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=r"x is a colour image or one of several bands \(its 8 bands = "):
        decode_mask(tiff(numbers(8, 8)), "x")
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_a_process_of_segwright_does_not_warn_of_odd_tags(tmp_path: Any) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(stream, "TIFF", dpi=(72, 72))
    data = bytearray(stream.getvalue())
    struct.pack_into("<I", data, TiffFile(io.BytesIO(data)).pages.first.tags["XResolution"].offset + 4, 2)
    (tmp_path / "odd.tif").write_bytes(data)
    code = """
from pathlib import Path
from segwright.formats.images import EncodedImage
from segwright.formats.quiet import silence_decoders
silence_decoders()
print(EncodedImage(Path("odd.tif").read_bytes(), "odd.tif").decode().sum())
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("126\n", "")


def test_damaged_bytes_give_a_picture_or_a_data_error_in_silence(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    soft = np.stack([np.indices((24, 40)).sum(axis=0)] * 3, axis=-1).astype(np.uint8)
    others = {"JPEG": encode_jpeg(soft), "PNG": encode_png(soft)}
    for container, mode, options in (
        ("BMP", "RGB", {}), ("WebP", "RGB", {}), ("TIFF", "RGB", {}), ("TIFF", "L", {"compression": "tiff_lzw"}),
        ("TIFF", "1", {"compression": "group4"}), ("TIFF", "YCbCr", {"compression": "jpeg"}),
    ):  # fmt: skip
        stream = io.BytesIO()
        Image.fromarray(soft).convert(mode).save(stream, container, **options)
        others[f"{container} {mode}"] = stream.getvalue()
    random = np.random.default_rng(0)
    outcomes = {True: 0, False: 0}
    for whole in (SAMPLES | others).values():
        for _ in range(25):
            data = damaged(whole, random)
            try:
                facts = verify(data, "damaged", exif_transposed=True)
                assert EncodedImage(data, "damaged").size(exif_transposed=True) == (facts.height, facts.width)
                pixels, _ = EncodedImage(data, "damaged").decode_reduced(facts.form, 2)
                assert pixels.dtype == facts.form.dtype and pixels.shape[2] == facts.form.bands
                if signatures.sniff(data) != "JPEG":
                    assert pixels.shape[:2] == (facts.height, facts.width)
                outcomes[True] += 1
            except DataError as error:
                assert "damaged" in str(error)
                outcomes[False] += 1
    assert min(outcomes.values()) > 50
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage() for record in caplog.records] == []
