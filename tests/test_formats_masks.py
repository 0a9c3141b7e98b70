import io

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.masks import IGNORE_COLOUR, decode_mask, encode_mask
from segwright.formats.palettes import mask_palette
from segwright.labels import IGNORE
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


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
LEGEND = ((0, RED), (1, GREEN), (2, BLUE))


def palette_png(indices: list[list[int]], *colours: tuple[int, int, int]) -> bytes:
    picture = Image.fromarray(np.array(indices, np.uint8))
    picture.putpalette([value for colour in colours for value in colour])
    return saved(picture)


def test_a_palette_that_agrees_changes_nothing() -> None:
    mask, _, repaired = decode_mask(palette_png([[0, 1, 2]], RED, GREEN, BLUE), "a", LEGEND)
    assert mask.tolist() == [[0, 1, 2]] and not repaired


def test_colours_overrule_indices() -> None:
    mask, _, repaired = decode_mask(palette_png([[0, 1, 2, 3]], BLUE, GREEN, RED, (9, 9, 9)), "a", LEGEND)
    assert mask.tolist() == [[2, 1, 0, 3]] and repaired


def test_a_colour_of_two_indices_tells_nothing() -> None:
    mask, _, repaired = decode_mask(palette_png([[0, 1]], GREEN, RED), "a", ((0, RED), (1, GREEN), (2, GREEN)))
    assert mask.tolist() == [[0, 0]] and repaired


def test_grey_masks_have_no_colours() -> None:
    mask, _, repaired = decode_mask(saved(Image.fromarray(np.array([[0, 2]], np.uint8))), "a", LEGEND)
    assert mask.tolist() == [[0, 2]] and not repaired


def test_what_is_to_be_ignored_stays_so_whatever_its_colour() -> None:
    picture = Image.fromarray(np.array([[0, 1, 255]], np.uint8))
    picture.putpalette([0, 0, 0, *RED, *[0] * 762])
    mask, _, repaired = decode_mask(saved(picture), "a", ((0, (0, 0, 0)), (1, RED)))
    assert mask.tolist() == [[0, 1, IGNORE]] and not repaired


def test_numbers_that_were_saved_as_grey_colours_stay_numbers() -> None:
    picture = Image.fromarray(np.array([[(0, 0, 0), (2, 2, 2), (255, 255, 255)]], np.uint8))
    mask, _, repaired = decode_mask(saved(picture), "a", LEGEND)
    assert mask.tolist() == [[0, 2, IGNORE]] and not repaired


def test_colour_pictures_are_read_by_colour() -> None:
    picture = Image.fromarray(np.array([[RED, BLUE, (1, 2, 3)]], np.uint8))
    mask, _, repaired = decode_mask(saved(picture), "a", LEGEND)
    assert mask.tolist() == [[0, 2, IGNORE]] and repaired
