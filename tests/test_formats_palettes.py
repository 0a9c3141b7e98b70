import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError
from segwright.formats.palettes import NO_COLOUR, mask_palette, palette_colours, stored_palette
from tests.helpers.images import saved

COLOURS = [[9, 8, 7], [200, 60, 60], [60, 200, 60], [1, 2, 3]]


def indexed() -> Image.Image:
    picture = Image.fromarray(np.array([[0, 1, 2], [3, 0, 1]], np.uint8))
    picture.putpalette(np.ravel(COLOURS).tolist())
    return picture


@pytest.mark.parametrize(
    ("container", "options"), [("PNG", {}), ("PNG", {"bits": 2}), ("PNG", {"dpi": (72, 72)}), ("TIFF", {}), ("BMP", {})]
)
def test_the_stored_colours_are_found(container: str, options: dict[str, object]) -> None:
    data = saved(indexed(), container, **options)
    palette = stored_palette(data, "x")
    assert palette is not None and palette[:4].tolist() == COLOURS and not palette[4:].any()
    padded = mask_palette(data)
    assert padded is not None and padded.shape == (256, 3) and padded[:4].tolist() == COLOURS


@pytest.mark.parametrize("container", ["PNG", "TIFF", "BMP", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_other_files_have_none(container: str, mode: str) -> None:
    assert stored_palette(saved(indexed().convert(mode), container), "x") is None


def test_damaged_files_end_quietly() -> None:
    data = saved(indexed(), "PNG")
    for length in range(8, len(data)):
        palette = stored_palette(data[:length], "x")
        assert palette is None or len(palette) <= 4
    with pytest.raises(DataError):
        stored_palette(b"nothing", "x")


def telling(palette: list[list[int]], values: list[int]) -> list[int] | None:
    colours = palette_colours(np.array(palette, np.uint8), np.array(values, np.int64))
    return None if colours is None else colours.tolist()


def test_colours_of_used_indices() -> None:
    assert telling(COLOURS, [1, 3, 9]) == [0xC83C3C, 0x010203, NO_COLOUR]


@pytest.mark.parametrize(
    ("palette", "values"),
    [
        ([[0, 0, 0]] * 256, [0, 1]),
        ([[0, 0, 0]] * 2, [1]),
        ([[7, 7, 7], [7, 7, 7], [1, 2, 3]], [0, 1]),
        ([[grey] * 3 for grey in range(256)], [0, 1, 5]),
        ([[0, 0, 0], [1, 1, 1]], [0]),
    ],
)
def test_palettes_that_say_nothing(palette: list[list[int]], values: list[int]) -> None:
    assert telling(palette, values) is None


@pytest.mark.parametrize(
    ("palette", "values"),
    [([[0, 0, 0]], [0]), ([[0, 0, 0], [1, 1, 1]], [0, 1]), ([[255] * 3, [0] * 3], [0, 1]), ([[5] * 3, [0] * 3], [0])],
)
def test_reduced_palettes_say_something_in_grey_too(palette: list[list[int]], values: list[int]) -> None:
    assert telling(palette, values) is not None
