import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import Note, PixelFormat
from tests.helpers.deep_images import HEIGHT, WIDTH, natural, numbers, opencv, png16, tiff
from tests.helpers.images import decode, verify

pytestmark = pytest.mark.usefixtures("quiet_decoders")


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


def test_opacity_with_the_values_of_a_image_is_noted() -> None:
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


@pytest.mark.parametrize(("data", "pixel_format", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_other_forms_are_refused_instead_of_squeezed(data: bytes, pixel_format: PixelFormat, sentence: str) -> None:
    with pytest.raises(DataError, match=rf"deep\.png has {sentence}.*convert this file, or train on"):
        EncodedImage(data, "deep.png").decode(pixel_format)
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
        pixel_format = PixelFormat(bands, bits, numbers=kind)  # type: ignore[arg-type]
        assert natural(data) == pixel_format
        pixels = EncodedImage(data, "x").decode(pixel_format)
        assert pixels.dtype == np.float32 == pixel_format.dtype and pixels.flags.c_contiguous
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
    pixels = EncodedImage(data, "x").decode(facts.pixel_format)
    gaps = np.zeros(stored.shape, np.bool_)
    gaps[2:4, 5:9, 1] = True
    assert (np.isnan(pixels) == gaps).all() and (pixels[~gaps] == stored[~gaps].astype(np.float32)).all()


def test_other_negative_numbers_are_data() -> None:
    stored = np.array([[[-1], [-100], [-10994]]], np.int16)
    facts = verify(tiff(stored), "x")
    assert facts.notes == ()
    assert EncodedImage(tiff(stored), "x").decode(facts.pixel_format).ravel().tolist() == [-1, -100, -10994]


def test_rounding_is_noted() -> None:
    stored = np.array([[[1], [2**24 + 1], [-9999]]], np.int32)
    notes = verify(tiff(stored), "x").notes
    assert [(note.kind, note.detail) for note in notes] == [("no-data", "-9999"), ("rounded", str(2**24 + 1))]
    assert verify(tiff(stored.clip(-9998, 2**24)), "x").notes == ()
