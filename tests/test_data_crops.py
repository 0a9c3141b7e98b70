import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.data.crops import Augmentation, Crop, random_crop
from segwright.data.transforms import apply_crop
from segwright.labels import IGNORE

MASK = np.zeros((60, 90), np.uint8)
MASK[10:14, 70:75] = 1


def crops(augmentation: Augmentation, count: int = 300, size: int = 32) -> list[Crop]:
    rng = np.random.default_rng(1)
    return [random_crop(rng, MASK, 90, size, augmentation) for _ in range(count)]


def shown(crop: Crop) -> np.ndarray:
    """The classes that a crop shows."""
    return np.unique(apply_crop(crop, np.zeros((*MASK.shape, 3), np.uint8), MASK)[1])


def test_the_size_is_drawn_from_the_scale_range() -> None:
    widths = [crop.scaled_width for crop in crops(Augmentation((0.8, 1.4)))]
    assert min(widths) >= 72 and max(widths) <= 126
    assert min(widths) < 78 and max(widths) > 120


def test_what_is_not_asked_for_does_not_happen() -> None:
    plain = crops(Augmentation(blur=0.0, mirror=False))
    assert not any(crop.mirrored or crop.upside_down or crop.angle or crop.blur for crop in plain)


def test_flips_and_angles_are_spread_evenly() -> None:
    drawn = crops(Augmentation(rotation=180, upside_down=True), 1000)
    assert 400 < sum(crop.upside_down for crop in drawn) < 600
    assert 400 < sum(crop.mirrored for crop in drawn) < 600
    assert all(-180 <= crop.angle <= 180 for crop in drawn)
    assert abs(np.mean([math.cos(math.radians(crop.angle)) for crop in drawn])) < 0.1


def test_balanced_crops_show_each_class_equally_often() -> None:
    usual = sum(1 in shown(crop) for crop in crops(Augmentation((1, 1))))
    balanced = sum(1 in shown(crop) for crop in crops(Augmentation((1, 1), balanced_crops=1.0)))
    assert usual < 100 < 150 < balanced


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3), st.integers(8, 100), st.booleans())
def test_a_balanced_crop_lies_where_the_class_that_was_drawn_is(
    seed: int, scale: float, size: int, mirror: bool
) -> None:
    rng, mask = np.random.default_rng(seed), np.full((50, 70), IGNORE, np.uint8)
    row, column = rng.integers((50, 70))
    mask[row, column] = 3
    crop = random_crop(rng, mask, 70, size, Augmentation((scale, scale), mirror=mirror, balanced_crops=1.0))
    if min(crop.scaled_height / 50, crop.scaled_width / 70) >= 1:  # smaller images may leave a pixel out
        assert 3 in apply_crop(crop, np.zeros((50, 70, 3), np.uint8), mask)[1]
    column = 69 - column if crop.mirrored else column
    assert crop.top <= (row + 0.5) * crop.scaled_height / 50 <= crop.top + size
    assert crop.left <= (column + 0.5) * crop.scaled_width / 70 <= crop.left + size


def test_without_labels_a_balanced_crop_is_any_crop() -> None:
    nothing = np.full((50, 70), IGNORE, np.uint8)
    assert random_crop(np.random.default_rng(0), nothing, 70, 16, Augmentation(balanced_crops=1.0)).size == 16


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [90.0, -90.0, 180.0])
def test_a_quarter_turn_is_exact(angle: float, mirrored: bool) -> None:
    rng = np.random.default_rng(3)
    image, mask = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), rng.integers(0, 9, (40, 40), dtype=np.uint8)
    crop = Crop(40, 40, 40, 40, 0, 0, 40, mirrored, angle=angle)
    pixels, classes = apply_crop(crop, image, mask)
    turns = {90.0: 1, -90.0: 3, 180.0: 2}[angle]
    source_image, source_mask = (image[:, ::-1], mask[:, ::-1]) if mirrored else (image, mask)
    assert (classes == np.rot90(source_mask, turns)).all()
    assert np.abs(pixels.astype(int) - np.rot90(source_image, turns)).max() <= 1


@given(st.integers(0, 2**32 - 1))
def test_a_rotated_image_and_its_mask_stay_aligned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((80, 100), np.uint8)
    row, column = rng.integers((10, 10), (50, 70))
    mask[row : row + 20, column : column + 20] = 1
    image = np.repeat(mask[..., None] * np.uint8(200), 3, axis=2)
    crop = random_crop(rng, mask, 100, 64, Augmentation((0.4, 2.0), 0.0, 180, upside_down=True))
    pixels, classes = apply_crop(crop, image, mask)
    inside = classes != IGNORE
    reach = 2 * max(crop.scaled_width / 100, 1)
    disagree = (pixels[..., 0] > 100) != (classes == 1)
    assert np.count_nonzero(disagree & inside) <= reach * 4 * 20 * crop.scaled_width / 100 / 4 + 4
    assert pixels.shape == (64, 64, 3) and classes.shape == (64, 64)


def test_beside_a_rotated_image_the_mask_is_padding_and_pixels_are_its_reflection() -> None:
    image, mask = np.full((30, 30, 3), 77, np.uint8), np.ones((30, 30), np.uint8)
    pixels, classes = apply_crop(Crop(30, 30, 30, 30, 0, 0, 48, angle=45.0), image, mask)
    assert (pixels == 77).all()
    assert set(np.unique(classes)) == {1, IGNORE}
    assert (apply_crop(Crop(30, 30, 30, 30, 0, 0, 48, angle=45.0), image, mask, padding=0)[1][0, 0]) == 0


def test_upside_down_flips_rows_of_image_and_mask() -> None:
    rng = np.random.default_rng(3)
    image, mask = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), rng.integers(0, 9, (40, 40), dtype=np.uint8)
    pixels, classes = apply_crop(Crop(40, 40, 40, 40, 0, 0, 40, upside_down=True), image, mask)
    assert (pixels == image[::-1]).all() and (classes == mask[::-1]).all()


def test_gaps_of_a_float_image_stay_gaps_when_rotated() -> None:
    image = np.ones((40, 40, 2), np.float32)
    image[:, :20] = np.nan
    pixels, _ = apply_crop(Crop(40, 40, 40, 40, 0, 0, 40, angle=180.0), image, np.zeros((40, 40), np.uint8))
    assert np.isnan(pixels[:, 22:]).all() and (pixels[:, :18] == 1).all()
