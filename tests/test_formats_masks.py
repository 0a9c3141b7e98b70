import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.masks import IGNORE_COLOUR, decode_mask, encode_mask, is_colour_image
from segwright.formats.palettes import mask_palette
from segwright.formats.pixels import Note
from segwright.labels import LabelMap
from segwright.palettes import default_palette
from tests.helpers.images import png, saved

NUMBERS = np.array([[0, 1, 2, 3], [3, 2, 255, 7]], np.uint8)


@pytest.mark.parametrize("container", ["PNG", "TIFF", "BMP"])
def test_grey_values_are_the_numbers(container: str) -> None:
    decoded = decode_mask(saved(Image.fromarray(NUMBERS), container), "x").numbers
    assert decoded.dtype == np.uint8 and (decoded == NUMBERS).all()


@pytest.mark.parametrize("container", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("colours", [3, 200])
def test_palettes_give_indices_not_colours(container: str, colours: int) -> None:
    numbers = np.minimum(NUMBERS, colours - 1)
    image = Image.fromarray(numbers)
    image.putpalette([(index * 71 + channel * 5) % 256 for index in range(colours) for channel in range(3)])
    decoded = decode_mask(saved(image, container), "x").numbers
    assert (decoded == numbers).all()


def test_palette_transparency_changes_nothing() -> None:
    image = Image.fromarray(NUMBERS)
    image.putpalette([200, 10, 10] * 256)
    assert (decode_mask(saved(image, transparency=0), "x").numbers == NUMBERS).all()


@pytest.mark.parametrize(
    ("depth", "row", "expected"),
    [(1, b"\xa0", [1, 0, 1, 0]), (2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\xaf", [0, 1, 10, 15])],
)
def test_grey_of_few_bits_gives_the_stored_numbers(depth: int, row: bytes, expected: list[int]) -> None:
    decoded = decode_mask(png(depth, 0, 4, [row]), "x").numbers
    assert decoded.dtype == np.uint8 and decoded.tolist() == [expected]


@pytest.mark.parametrize("container", ["PNG", "TIFF", "BMP"])
def test_one_bit_files_hold_0_and_1(container: str) -> None:
    image = Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1")
    assert decode_mask(saved(image, container), "x").numbers.tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("container", ["PNG", "TIFF"])
def test_sixteen_bits_are_kept(container: str) -> None:
    numbers = np.array([[0, 7, 255, 256, 65535]], np.uint16)
    decoded = decode_mask(saved(Image.fromarray(numbers), container), "x").numbers
    assert decoded.dtype == np.uint16 and (decoded == numbers).all()


def test_whole_numbers_of_32_bits_are_read_where_they_fit() -> None:
    fitting = Image.fromarray(np.array([[3, 40000]], np.int32))
    assert decode_mask(saved(fitting, "TIFF"), "x").numbers.tolist() == [[3, 40000]]
    for number in (-7, 70000):
        with pytest.raises(
            DataError, match=rf"number {number} of type int32 at row 0, column 1;.*gdal_edit.py -a_nodata"
        ):
            decode_mask(saved(Image.fromarray(np.array([[3, number]], np.int32)), "TIFF"), "x")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_equal_channels_are_one(mode: str) -> None:
    channels = [Image.fromarray(NUMBERS)] * (3 if mode != "LA" else 1)
    if mode != "RGB":
        channels.append(Image.new("L", (4, 2), 17))
    assert (decode_mask(saved(Image.merge(mode, channels)), "x").numbers == NUMBERS).all()


def test_colour_is_refused_with_place_and_cure() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[2, 3] = (128, 0, 64)
    with pytest.raises(DataError, match=r"red\.png .*128, 0, 64 at row 2, column 3.*8-bit PNG"):
        decode_mask(saved(Image.fromarray(pixels)), "red.png")


@pytest.mark.parametrize("container", ["JPEG", "WebP"])
def test_lossy_formats_are_refused_whatever_the_name_says(container: str) -> None:
    with pytest.raises(DataError, match=r"m\.png is a (JPEG|WebP) file.*PNG"):
        decode_mask(saved(Image.new("RGB", (8, 8)), container), "m.png")


@pytest.mark.parametrize(
    "data",
    [
        png(16, 2, 1, [b"\0\1\0\1\0\1"]),
        png(16, 4, 1, [b"\0\1\2\3"]),
        saved(Image.fromarray(np.full((2, 2), 1.5, np.float32)), "TIFF"),
        saved(Image.new("CMYK", (2, 2)), "TIFF"),
        saved(Image.fromarray(np.random.default_rng(0).integers(0, 9, (50, 50), dtype=np.uint8)))[:500],
        b"",
        b"nothing",
    ],
)
def test_everything_else_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"odd\.png"):
        decode_mask(data, "odd.png")


def test_written_masks_come_back_with_their_colours() -> None:
    palette = default_palette(5)
    mask = np.array([[0, 1, 4], [255, 2, 3]], np.uint8)
    data = encode_mask(mask, palette)
    assert (decode_mask(data, "x").numbers == mask).all()
    stored = mask_palette(data)
    assert stored is not None and stored.shape == (256, 3)
    assert (stored[:5] == palette).all() and tuple(stored[255]) == IGNORE_COLOUR
    seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert (seen[0, 2] == palette[4]).all()


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_every_number_survives(mask: NDArray[np.uint8]) -> None:
    assert (decode_mask(encode_mask(mask, default_palette(20)), "x").numbers == mask).all()


def test_mirrored_views_can_be_written() -> None:
    assert (decode_mask(encode_mask(NUMBERS[:, ::-1], default_palette(8)), "x").numbers == NUMBERS[:, ::-1]).all()


def test_a_short_palette_is_filled_up_and_grey_has_none() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([9, 8, 7, 1, 2, 3])
    palette = mask_palette(saved(image))
    assert palette is not None and palette[:2].tolist() == [[9, 8, 7], [1, 2, 3]] and not palette[2:].any()
    assert mask_palette(saved(Image.fromarray(NUMBERS))) is None


@settings(max_examples=100, deadline=None)
@given(
    container=st.sampled_from(["PNG", "TIFF", "BMP"]),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_bytes_give_a_mask_or_a_data_error(container: str, edits: list[tuple[int, int]]) -> None:
    data = bytearray(saved(Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)), container))
    for position, value in edits:
        data[position % len(data)] = value
    try:
        assert decode_mask(bytes(data), "damaged").numbers.ndim == 2
    except DataError as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_numbers_count_where_white_is_zero(dtype: type, compression: str | None) -> None:
    """ImageJ writes masks so, under an inverting look-up table."""
    stored: NDArray[np.generic] = np.array([[0, 1, 0, 1, 1, 0, 0, 1]] * 4, dtype)
    stream = io.BytesIO()
    tifffile.imwrite(stream, stored, photometric="miniswhite", compression=compression)
    assert decode_mask(stream.getvalue(), "a.tif").numbers.tolist() == stored.astype(int).tolist()


def test_matplotlibs_colours_are_recognised() -> None:
    colours = np.array([[[68, 1, 84], [253, 231, 37]]], np.uint8)
    with pytest.raises(DataError, match=r"the colours of plt\.imsave, which stretches each mask by itself"):
        decode_mask(saved(Image.fromarray(colours)), "x.png")
    with pytest.raises(DataError) as error:
        decode_mask(saved(Image.fromarray(colours[:, :, ::-1])), "x.png")
    assert "plt.imsave" not in str(error.value)


def test_a_gif_of_one_image_gives_its_indices() -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(numbers)
    image.putpalette([value for index in range(16) for value in (index * 9, 250 - index, 7)])
    data = saved(image, "GIF")
    assert (decode_mask(data, "x").numbers == numbers).all()
    palette = mask_palette(data)
    assert palette is not None and tuple(palette[5]) == (45, 245, 7)


@pytest.mark.parametrize("numbers", [NUMBERS, np.array([[0, 255]], np.uint8), np.array([[7, 7]], np.uint8)])
def test_a_grey_gif_gives_its_greys_whatever_palette_they_were_saved_with(numbers: NDArray[np.uint8]) -> None:
    data = saved(Image.fromarray(numbers), "GIF")
    assert (decode_mask(data, "x").numbers == numbers).all() and mask_palette(data) is None


def test_gifs_that_move_or_are_damaged_are_refused() -> None:
    frames = [Image.fromarray(NUMBERS), Image.fromarray(NUMBERS // 2)]
    with pytest.raises(DataError, match=r"x\.gif is a GIF of several images"):
        decode_mask(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), "x.gif")
    with pytest.raises(DataError, match=r"x\.gif is "):
        decode_mask(saved(frames[0], "GIF")[:40], "x.gif")


TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]


def tiff(numbers: NDArray[Any], tag: str | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    extra = [(42113, "s", 0, tag, True)] if tag is not None else []
    tifffile.imwrite(stream, numbers, photometric="minisblack", metadata=None, extratags=extra, **options)
    return stream.getvalue()


@settings(max_examples=150, deadline=None)
@given(
    numbers=arrays(np.uint8, st.tuples(st.integers(17, 40), st.integers(17, 40)), elements=st.integers(0, 100)),
    dtype=st.sampled_from(TYPES),
    compression=st.sampled_from([None, "lzw", "deflate", "zstd", "packbits"]),
    layout=st.sampled_from(["strips", "tiles", "rows", "planar", "bigtiff"]),
    order=st.sampled_from("<>"),
    predictor=st.booleans(),
    gap=st.sampled_from([None, "-9999", "-1", "101", "nan", "-3.4028234663852886e+38", "untagged"]),
)
def test_whole_numbers_of_any_type_in_any_layout(
    numbers: NDArray[np.uint8],
    dtype: str,
    compression: str | None,
    layout: str,
    order: str,
    predictor: bool,
    gap: str | None,
) -> None:
    stored = numbers.astype(dtype)
    expected = numbers.astype(np.int64)
    tag = None if gap == "untagged" else gap
    kind = stored.dtype.kind
    if gap is not None:
        number = float(tag) if tag else -1.0 if kind == "i" else np.nan
        limits = None if kind == "f" else np.iinfo(stored.dtype)
        if limits is None or limits.min <= number <= limits.max:
            with np.errstate(over="ignore"):
                stored[2:5, 3:] = number
            expected[2:5, 3:] = -1
    layouts: dict[str, dict[str, Any]] = {
        "strips": {}, "tiles": {"tile": (16, 16)}, "rows": {"rowsperstrip": 3}, "bigtiff": {"bigtiff": True},
        "planar": {"planarconfig": "separate"},
    }  # fmt: skip
    options = layouts[layout]
    written = np.stack([stored, stored]) if layout == "planar" else stored
    if predictor and compression in ("lzw", "deflate", "zstd") and stored.dtype.itemsize < 8:
        options["predictor"] = True
    decoded, notes = decode_mask(tiff(written, tag, byteorder=order, compression=compression, **options), "x")[:2]
    assert decoded.astype(np.int64).tolist() == expected.tolist()
    assert [(note.kind, note.count) for note in notes] == (
        [("no-data", int((expected < 0).sum()))] if (expected < 0).any() else []
    )


@pytest.mark.parametrize("gap", [-1, -9999, -32768, -(2**31), np.nan, -3.4e38, -np.inf, np.inf, -999, -99999])
def test_usual_numbers_for_no_data_need_no_tag(gap: float) -> None:
    decoded, notes = decode_mask(tiff(np.array([[0, 255, gap]], np.float64)), "x")[:2]
    assert decoded.tolist() == [[0, 255, -1]]
    assert notes[0].kind == "no-data" and notes[0].detail.lower().startswith(f"{gap:g}"[:3])
    assert LabelMap.identity().apply(decoded).tolist() == [[0, 255, 255]]
    both = LabelMap(values=((0, 0), (255, 1)))
    assert both.apply(decoded).tolist() == [[0, 1, 255]], "255 is a class here, no data is not"


def test_zero_stays_a_class_whatever_the_tag_says() -> None:
    for dtype in ("uint8", "int16", "float32"):
        decoded, notes = decode_mask(tiff(np.array([[0, 0, 2]], dtype), "0"), "x")[:2]
        assert decoded.tolist() == [[0, 0, 2]] and notes == (Note("zero", 2),)


def test_other_tags_are_believed() -> None:
    assert decode_mask(tiff(np.array([[0, 7, 9]], np.uint8), "9"), "x").numbers.tolist() == [[0, 7, -1]]
    assert decode_mask(tiff(np.array([[0, 255]], np.uint8), "255"), "x")[:2][0].tolist() == [[0, 255]]
    assert decode_mask(tiff(np.array([[0, 65535]], np.uint16), "65535"), "x").numbers.tolist() == [[0, -1]]
    assert decode_mask(tiff(np.array([[0, 2**32 - 1]], np.uint32), "4294967295"), "x").numbers.tolist() == [[0, -1]]
    for odd in ("", "none", "1,5"):
        assert decode_mask(tiff(np.array([[0, 7]], np.uint8), odd), "x").numbers.tolist() == [[0, 7]]


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        (np.array([[0, 1.5]], np.float32), r"number 1\.5 of type float32 at row 0, column 1; .*gdalwarp -r near"),
        (np.array([[0], [-7]], np.int16), r"number -7 of type int16 at row 1, column 0"),
        (np.array([[70000]], np.int64), r"number 70000 of type int64.*gdal_edit\.py -a_nodata 70000 m\.tif"),
        (np.array([[2**32 - 1]], np.uint32), r"number 4294967295 of type uint32"),
        (np.array([[2**63]], np.uint64), r"number 9223372036854775808 of type uint64"),
        (np.array([[1j]], np.complex64), r"complex numbers of 64 bits.*save it as"),
    ],
)
def test_other_numbers_are_refused_by_type_value_and_place(numbers: NDArray[Any], sentence: str) -> None:
    with pytest.raises(DataError, match=rf"m\.tif hol?ds? .*{sentence}"):
        decode_mask(tiff(numbers), "m.tif")


@pytest.mark.parametrize("compression", ["jpeg", "webp", "jpegxl", "jpeg2000", "lerc"])
def test_lossy_compression_inside_a_tiff_is_refused(compression: str) -> None:
    pytest.importorskip("imagecodecs")
    mask = np.zeros((32, 32, 3) if compression == "webp" else (32, 32), np.uint8)
    stream = io.BytesIO()
    tifffile.imwrite(stream, mask, compression=compression, photometric="rgb" if mask.ndim == 3 else "minisblack")
    for function in (decode_mask, is_colour_image):
        with pytest.raises(DataError, match=r"m\.tif is compressed with (JPEG|WebP|LERC).*COMPRESS=DEFLATE"):
            function(stream.getvalue(), "m.tif")


def test_pages_that_differ_are_refused_and_alike_ones_noted() -> None:
    mask = np.arange(200, dtype=np.uint8).reshape(10, 20) % 3
    assert decode_mask(tiff(np.stack([mask] * 5)), "x")[:2][1] == (Note("pages", 5),)
    with pytest.raises(DataError, match=r"x has 4 pages, of which page 2 differs from the first"):
        decode_mask(tiff(np.stack([mask, mask + 1, mask, mask])), "x")
    for bands in (np.stack([mask, mask + 1]), np.stack([mask, mask, mask * 2])):
        with pytest.raises(DataError, match="several bands"):
            decode_mask(tiff(bands, planarconfig="separate"), "x")


def test_files_of_many_bits_have_no_palette() -> None:
    for dtype in TYPES:
        data = tiff(np.array([[0, 1]], dtype))
        assert mask_palette(data) is None and not is_colour_image(data, "x")


def test_bits_of_odd_number_are_named_and_not_called_damage() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((8, 8), np.uint8), photometric="minisblack")
    data = stream.getvalue().replace(struct.pack("<HHII", 258, 3, 1, 8), struct.pack("<HHII", 258, 3, 1, 3))
    with pytest.raises(DataError, match=r"a.tif holds an image of unsigned whole numbers of 3 bits"):
        decode_mask(data, "a.tif")


def test_numbers_that_were_divided_get_the_cure() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.array([[0, 0.5, 1]], np.float32))
    with pytest.raises(DataError, match=r"holds the number 0.5 of type float32 .* if they were divided, as by 255"):
        decode_mask(stream.getvalue(), "a.tif")
