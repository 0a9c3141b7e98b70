import numpy as np
import pytest

from segwright.errors import UserError
from segwright.labels import IGNORE, numbered_names
from segwright.palettes import default_palette
from segwright.visualization import background, choose_colours, displayable, overlay

PALETTE = default_palette(3)


def test_inside_a_class_the_colours_mix_by_their_opacity() -> None:
    image = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:] = 2
    for opacity in (0.0, 0.5, 1.0):
        drawn = overlay(image, mask, PALETTE, opacity).astype(float)
        assert np.abs(drawn[20, 10] - (100 * (1 - opacity) + opacity * PALETTE[0])).max() <= 1
        assert np.abs(drawn[20, 50] - (100 * (1 - opacity) + opacity * PALETTE[2])).max() <= 1


def test_borders_between_classes_are_stronger() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:] = 1
    drawn = overlay(image, mask, PALETTE, 0.3).astype(float)
    assert np.abs(drawn[20, 30] - 0.9 * PALETTE[1]).max() <= 1
    assert np.abs(drawn[20, 45] - 0.3 * PALETTE[1]).max() <= 1


def test_ignored_pixels_keep_the_image_under_a_hatching() -> None:
    image = np.random.default_rng(0).integers(0, 120, (64, 64, 3), dtype=np.uint8)
    drawn = overlay(image, np.full((64, 64), IGNORE, np.uint8), PALETTE)
    same = (drawn == image).all(axis=-1)
    assert 0.5 < same.mean() < 0.9
    assert (drawn[~same] > image[~same]).any(axis=-1).all()


def test_an_overlay_changes_neither_image_nor_mask() -> None:
    image = np.full((20, 20, 3), 50, np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    mask[5:, 5:] = IGNORE
    image.setflags(write=False)
    mask.setflags(write=False)
    assert overlay(image, mask, PALETTE).shape == (20, 20, 3)


def test_a_class_that_is_left_out_stays_the_image_up_to_the_borders_of_the_others() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    mask = np.ones((40, 60), np.uint8)
    mask[:, 30:] = 2
    for clear in (1, 2):
        drawn = overlay(image, mask, PALETTE, 0.5, (clear,)).astype(float)
        other = 3 - clear
        assert (drawn[mask == clear] == image[mask == clear]).all()
        mixed = 0.5 * image[mask == other] + 0.5 * PALETTE[other]
        border = np.abs(drawn[mask == other] - mixed).max(-1) > 1
        assert 0 < border.sum() <= 40, "one column, on the side of the class that is drawn"


@pytest.mark.parametrize(
    ("names", "clear"),
    [
        (("background", "vessel"), (0,)),
        (("_background_", "cat", "dog"), (0,)),
        (("Background / other", "cat"), (0,)),
        (("unlabelled", "cat"), (0,)),
        (numbered_names(2), (0,)),
        (numbered_names(5), (0,)),
        (("road", "sidewalk", "background"), ()),
        (("sky", "building"), ()),
    ],
)
def test_background_is_class_0_by_its_name_or_where_nothing_is_named(
    names: tuple[str, ...], clear: tuple[int, ...]
) -> None:
    assert background(names) == clear


def test_colours_are_chosen_by_name_or_index() -> None:
    names = ("background", "road", "1")
    palette, clear = choose_colours(PALETTE, names, {})
    assert (palette == PALETTE).all() and clear == (0,)
    palette, clear = choose_colours(PALETTE, names, {"0": "#010203", "1": "Red", "road": "none"})
    assert palette.tolist() == [[1, 2, 3], PALETTE[1].tolist(), [255, 0, 0]] and clear == (1,)
    assert (default_palette(3) == PALETTE).all(), "the model's own palette is not changed"


def test_classes_and_colours_that_do_not_exist_are_named() -> None:
    with pytest.raises(UserError, match=r"class rode, but the classes are sky, road\. Did you mean road\?"):
        choose_colours(PALETTE[:2], ("sky", "road"), {"rode": "red"})
    with pytest.raises(UserError, match="the colour of road is rde; it takes a name such as red") as caught:
        choose_colours(PALETTE[:2], ("sky", "road"), {"road": "rde"})
    assert (caught.value.name, caught.value.value) == ("colour", "rde")


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_overlays_of_tiny_images(shape: tuple[int, int]) -> None:
    assert overlay(np.zeros((*shape, 3), np.uint8), np.ones(shape, np.uint8), PALETTE).shape == (*shape, 3)


def test_colours_of_8_bits_are_shown_as_they_are() -> None:
    image = np.random.default_rng(0).integers(0, 90, (20, 30, 3), dtype=np.uint8)
    assert (displayable(image) == image).all()


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_bands_are_shown(bands: int, dtype: type[np.uint8] | type[np.uint16] | type[np.float32]) -> None:
    ramp = np.arange(20, 121).astype(dtype)
    image = np.stack([np.roll(ramp, 7 * band) for band in range(bands)], axis=-1)[None]
    shown = displayable(image)
    assert shown.shape == (1, 101, 3) and shown.dtype == np.uint8
    if (bands, dtype) == (3, np.uint8):
        return
    sources = [0] * 3 if bands == 1 else [0, 1, 1] if bands == 2 else [0, 1, 2]
    for place, band in enumerate(sources):
        expected = np.clip((image[0, :, band].astype(float) - 22) / 96 * 255, 0, 255)
        assert np.abs(shown[0, :, place] - expected).max() <= 0.51


def test_small_floats_are_spread_and_no_data_is_black() -> None:
    image = np.linspace(-0.002, 0.006, 101, dtype=np.float32).reshape(1, 101, 1)
    image[0, 50] = np.nan
    shown = displayable(image)
    assert shown[0, 50].tolist() == [0, 0, 0]
    assert np.abs(shown[0, 75, 0] - 255 * (75 - 2) / 96) < 2 and shown[0, -1, 0] == 255
    assert not displayable(np.full((3, 4, 2), np.nan, np.float32)).any()


def test_outliers_do_not_darken_what_is_shown() -> None:
    image = np.random.default_rng(0).integers(1000, 1200, (50, 50, 1)).astype(np.uint16)
    image[0, 0] = 65535
    assert 90 < displayable(image).mean() < 165


@pytest.mark.parametrize("value", [0, 77, 65535])
def test_a_band_of_one_value_is_shown_black(value: int) -> None:
    assert not displayable(np.full((5, 6, 4), value, np.uint16)).any()
