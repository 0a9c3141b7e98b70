import math
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segwright.data.crops import Crop, center_crop, fixed_crop, random_crop
from segwright.data.transforms import apply_crop
from segwright.labels import IGNORE

WIDE = np.zeros((360, 480), np.uint8)


def coloured(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture whose colours are its mask: red is full for odd classes and none for even ones."""
    return np.stack([mask % 2 * 255, mask, 255 - mask], axis=-1)


def patches(height: int, width: int, rows: int, columns: int) -> NDArray[np.uint8]:
    """A mask of single-valued patches of rows x columns pixels; across an edge an odd class follows an even one."""
    row, column = np.arange(height)[:, None] // rows, np.arange(width) // columns
    return np.asarray((row * 37 + column * 61) % 100 * 2 + (row + column) % 2, np.uint8)


@st.composite
def any_crops(draw: st.DrawFn, smallest_scale: float = 0.1, longest: int = 400) -> Crop:
    """Any part of a picture of any size, mirrored or not, at any scale (in each direction its own), blurred or not."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    exact = [scale for scale in (1 / 3, 0.5, 1, 2) if scale >= smallest_scale]
    scales = st.floats(smallest_scale, 4) | st.sampled_from(exact)
    scaled_height, scaled_width = (max(math.ceil(length * draw(scales)), 1) for length in (height, width))
    size = draw(st.integers(1, 96))
    top, left = (draw(st.integers(0, max(length - size, 0))) for length in (scaled_height, scaled_width))
    blur = draw(st.just(0.0) | st.floats(0.01, 1))
    return Crop(height, width, scaled_height, scaled_width, top, left, size, draw(st.booleans()), blur)


@st.composite
def real_crops(draw: st.DrawFn) -> Crop:
    """A crop as training and validation cut it."""
    height, width, base_size = draw(st.integers(1, 400)), draw(st.integers(1, 400)), draw(st.integers(17, 200))
    size, seed = draw(st.integers(17, 90)), draw(st.integers(0, 2**32 - 1))
    if draw(st.booleans()):
        return random_crop(np.random.default_rng(seed), np.zeros((height, width), np.uint8), base_size, size)
    return draw(st.sampled_from([fixed_crop(height, width, base_size, size), center_crop(height, width, size)]))


def reference(crop: Crop, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Bilinear values at half-pixel centres, straight from the definition, for scales of more than 0.5."""
    picture = image[:, ::-1] if crop.mirrored else image
    rows = min(crop.size, crop.scaled_height - crop.top)
    columns = min(crop.size, crop.scaled_width - crop.left)
    y = (np.arange(rows) + crop.top + 0.5) * crop.height / crop.scaled_height - 0.5
    x = (np.arange(columns) + crop.left + 0.5) * crop.width / crop.scaled_width - 0.5
    y, x = y.clip(0, crop.height - 1), x.clip(0, crop.width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, crop.height - 1), np.minimum(left + 1, crop.width - 1)
    down, across = (y - top)[:, None, None], (x - left)[None, :, None]
    upper = picture[top][:, left] * (1 - across) + picture[top][:, right] * across
    lower = picture[below][:, left] * (1 - across) + picture[below][:, right] * across
    return np.asarray(upper * (1 - down) + lower * down)


def smooth(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@settings(max_examples=200)
@given(any_crops(smallest_scale=0.51), st.integers(0, 9))
@example(Crop(36, 48, 36, 48, 9, 13, 32, mirrored=True), 0)
@example(Crop(36, 48, 61, 83, 29, 51, 32), 0)
def test_a_crop_is_the_bilinear_image_and_the_nearest_mask_at_half_pixel_centres(crop: Crop, seed: int) -> None:
    image = smooth(crop.height, crop.width, seed)
    mask = np.random.default_rng(seed).integers(0, 256, image.shape[:2], dtype=np.uint8)
    pixels, classes = apply_crop(replace(crop, blur=0.0), image, mask)
    expected = reference(crop, image)
    rows, columns = expected.shape[:2]
    steps = (np.abs(np.diff(image.astype(int), axis=axis)).max(initial=0) for axis in (0, 1))
    # OpenCV's fixed point may cost a 32nd of a pixel; half a pixel of shift would cost far more
    assert np.abs(pixels[:rows, :columns] - expected).max() <= 1.5 + sum(steps) / 32
    y = (np.arange(rows) + crop.top + 0.5) * crop.height / crop.scaled_height
    x = (np.arange(columns) + crop.left + 0.5) * crop.width / crop.scaled_width
    picked = (mask[:, ::-1] if crop.mirrored else mask)[y.astype(int)][:, x.astype(int)]
    assert (classes[:rows, :columns] == picked).all()


def test_at_scale_one_a_crop_is_a_slice() -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    mask = np.random.default_rng(2).integers(0, 256, (40, 50), dtype=np.uint8)
    pixels, classes = apply_crop(Crop(40, 50, 40, 50, 3, 7, 24), image, mask)
    assert (pixels == image[3:27, 7:31]).all() and (classes == mask[3:27, 7:31]).all()
    pixels, classes = apply_crop(Crop(40, 50, 40, 50, 3, 7, 24, mirrored=True), image, mask)
    assert (pixels == image[3:27, ::-1][:, 7:31]).all() and (classes == mask[3:27, ::-1][:, 7:31]).all()


@pytest.mark.parametrize("size", [(37, 53), (91, 121), (17, 11), (200, 301)])
def test_masks_are_resampled_as_pillow_resamples_them(size: tuple[int, int]) -> None:
    # odd sizes: no sample falls between two pixels, where Pillow's choice depends on its rounding
    mask = np.random.default_rng(3).integers(0, 256, (91, 121), dtype=np.uint8)
    whole = Crop(91, 121, *size, 0, 0, max(size))
    _, classes = apply_crop(whole, coloured(mask), mask)
    pillow = np.asarray(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))
    assert (classes[: size[0], : size[1]] == pillow).all()


@settings(max_examples=200)
@given(any_crops() | real_crops())
def test_image_and_mask_stay_aligned_and_ignore_is_only_padding(crop: Crop) -> None:
    # So far, in pixels of the crop, may interpolation and blur mix the colours of two patches.
    blurred = 4 if crop.blur else 0
    scales = (crop.scaled_height / crop.height, crop.scaled_width / crop.width)
    reach = [math.ceil(max(scale, 1)) + 1 + blurred for scale in scales]
    # In whole numbers of the pixels that are averaged into one, so that this blurs no edge.
    averaged = (max(crop.height // crop.scaled_height, 1), max(crop.width // crop.scaled_width, 1))
    wide = ((2 * far + 5) / scale for far, scale in zip(reach, scales, strict=True))
    sides = [math.ceil(split / each) * each for split, each in zip(wide, averaged, strict=True)]
    mask = patches(crop.height, crop.width, *sides)
    pixels, classes = apply_crop(crop, coloured(mask), mask)
    assert pixels.shape == (crop.size, crop.size, 3) and pixels.dtype == np.uint8
    assert classes.shape == (crop.size, crop.size) and classes.dtype == np.uint8
    rows, columns = min(crop.size, crop.scaled_height), min(crop.size, crop.scaled_width)
    padding = np.ones((crop.size, crop.size), bool)
    padding[:rows, :columns] = False
    assert ((classes == IGNORE) == padding).all()
    assert not pixels[padding].any()
    assert (apply_crop(crop, coloured(mask), mask, padding=0)[1] == np.where(padding, 0, classes)).all()
    # Where red is clearly above or below its middle, it tells the class, to a fraction of a pixel; where a blur lacks
    # no pixels, that is.
    inner, shown = classes[:rows, :columns], pixels[:rows, :columns]
    whole = (slice(blurred, rows - blurred), slice(blurred, columns - blurred))
    red = shown[..., 0].astype(int)
    assert ((red > 127) == inner % 2)[whole][np.abs(red - 127.5)[whole] > 12].all()
    # Inside a patch the picture is its mask. 254 stands for what lies beyond the crop, which is not known here.
    kernel = np.ones([2 * far + 1 for far in reach], np.uint8)
    largest = cv2.dilate(inner, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=254)
    flat = largest == cv2.erode(inner, kernel)
    assert np.abs(shown.astype(int) - coloured(inner))[flat].max(initial=0) <= 1


@pytest.mark.parametrize("mirrored", [False, True])
def test_strong_reduction_averages_and_does_not_shift(mirrored: bool) -> None:
    checkerboard = (np.indices((600, 803)).sum(axis=0) % 2 * 255).astype(np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 803).astype(np.uint8), (600, 803))
    image = np.stack([checkerboard, ramp, np.full_like(ramp, 200)], axis=-1)
    crop = Crop(600, 803, 97, 130, 5, 3, 90, mirrored)
    pixels, _ = apply_crop(crop, image, np.zeros((600, 803), np.uint8))
    assert np.abs(pixels[..., 0].astype(int) - 127.5).max() < 26  # aliasing would give 0 and 255
    centres = (np.arange(3, 93) + 0.5) * 803 / 130 - 0.5
    expected = np.interp(802 - centres if mirrored else centres, np.arange(803), ramp[0])
    assert np.abs(pixels[40, :, 1] - expected).max() < 1.5  # a pixel of the crop is 2 grey levels
    assert (pixels[..., 2] == 200).all()


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (1, 1), (2, 3000)])
def test_images_of_a_single_row_or_column(shape: tuple[int, int]) -> None:
    mask = np.full(shape, 7, np.uint8)
    for seed in range(20):
        crop = random_crop(np.random.default_rng(seed), np.zeros(shape, np.uint8), 40, 32)
        pixels, classes = apply_crop(crop, coloured(mask), mask)
        assert set(np.unique(classes)) <= {7, IGNORE} and classes[0, 0] == 7
        assert tuple(pixels[0, 0]) == (255, 7, 248)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_bands_and_depth_are_kept(bands: int, kind: type[np.uint8]) -> None:
    high = np.iinfo(kind).max
    image = np.full((50, 60, bands), high, dtype=kind)
    for scaled in ((20, 24), (75, 90)):
        crop = Crop(50, 60, *scaled, 0, 0, 32, mirrored=True, blur=0.8)
        pixels, _ = apply_crop(crop, image, np.zeros((50, 60), np.uint8))
        assert pixels.dtype == kind and pixels.shape == (32, 32, bands)
        assert (pixels[: min(32, scaled[0]), : min(32, scaled[1])] == high).all()  # no dark seam
        assert not pixels[scaled[0] :].any()


def test_blur_touches_the_image_only() -> None:
    mask = (np.arange(48 * 48).reshape(48, 48) % 3).astype(np.uint8)
    image = np.random.default_rng(5).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    sharp, classes = apply_crop(Crop(48, 48, 48, 48, 0, 0, 48), image, mask)
    blurred, same = apply_crop(Crop(48, 48, 48, 48, 0, 0, 48, blur=0.9), image, mask)
    assert (classes == same).all()
    assert blurred.std() < 0.8 * sharp.std()
    centre = blurred[24, 24].astype(float)
    grid = np.arange(-4, 5)
    weight = np.exp(-(grid[:, None] ** 2 + grid**2) / (2 * 0.9**2))
    expected = np.tensordot(weight / weight.sum(), image[20:29, 20:29].astype(float), axes=2)
    assert np.abs(centre - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("deviation", [0.01, 0.2, 0.5, 0.75, 0.999])
def test_any_blur_is_a_gaussian_to_a_grey_level(deviation: float, kind: type[np.uint8]) -> None:
    image = np.random.default_rng(6).choice(np.array([0, 255], kind), (48, 48, 3))  # as hard as it gets
    blurred, _ = apply_crop(Crop(48, 48, 48, 48, 0, 0, 48, blur=deviation), image, np.zeros((48, 48), np.uint8))
    weight = np.exp(-(np.arange(-9, 10) ** 2) / (2 * deviation**2))
    expected = np.pad(image.astype(float), ((9, 9), (9, 9), (0, 0)), mode="edge")
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(expected, 19, axis)
        expected = windows @ (weight / weight.sum())
    assert np.abs(blurred - expected).max() <= 1


@settings(max_examples=60)
@given(any_crops(longest=150))
def test_a_spare_fourth_band_changes_nothing(crop: Crop) -> None:
    mask = np.zeros((crop.height, crop.width), np.uint8)
    image = smooth(crop.height, crop.width)
    spared, _ = apply_crop(crop, np.dstack([image, mask + 77]), mask, bands=3)
    assert (spared == apply_crop(crop, image, mask)[0]).all()


def test_the_draw_follows_its_distributions() -> None:
    rng = np.random.default_rng(0)
    crops = [random_crop(rng, WIDE, 100, 40) for _ in range(4000)]
    sides = np.array([crop.scaled_width for crop in crops])
    assert sides.min() == 50 and sides.max() == 200
    assert abs(sides.mean() - 125) < 3
    assert abs(np.mean([crop.mirrored for crop in crops]) - 0.5) < 0.03
    blurs = np.array([crop.blur for crop in crops])
    assert abs((blurs > 0).mean() - 0.5) < 0.03 and blurs.max() < 1 and abs(blurs[blurs > 0].mean() - 0.5) < 0.03
    assert all(crop.scaled_height == int(360 * crop.scaled_width / 480 + 0.5) for crop in crops)
    down = [crop.top / (crop.scaled_height - 40) for crop in crops if crop.scaled_height > 40]
    across = [crop.left / (crop.scaled_width - 40) for crop in crops]
    for room in (down, across):
        assert min(room) == 0 and max(room) == 1 and abs(np.mean(room) - 0.5) < 0.03


def test_the_long_side_is_what_is_drawn() -> None:
    crop = random_crop(np.random.default_rng(0), WIDE.T, 100, 40)
    assert crop.scaled_height == random_crop(np.random.default_rng(0), WIDE, 100, 40).scaled_width
    assert crop.scaled_width == int(360 * crop.scaled_height / 480 + 0.5)


def test_chance_comes_from_the_generator_alone() -> None:
    np.random.default_rng(9).random()
    first = random_crop(np.random.default_rng(7), WIDE, 64, 48)
    assert first == random_crop(np.random.default_rng(7), WIDE, 64, 48)
    assert first != random_crop(np.random.default_rng(8), WIDE, 64, 48)


def test_a_still_crop_is_central_and_unchanged_by_chance() -> None:
    assert fixed_crop(100, 200, 100, 40) == Crop(100, 200, 50, 100, 5, 30, 40)
    assert fixed_crop(10, 20, 100, 80) == Crop(10, 20, 50, 100, 0, 10, 80)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 700))
def test_a_validation_crop_is_the_middle_of_the_image_and_as_long_as_its_short_side(
    height: int, width: int, size: int
) -> None:
    crop = center_crop(height, width, size)
    scaled = crop.scaled_height, crop.scaled_width
    assert min(scaled) == size == scaled[0 if height < width else 1]
    assert max(scaled) == int(max(height, width) * Fraction(size, min(height, width)))
    assert abs(2 * crop.top + size - scaled[0]) <= 1 and abs(2 * crop.left + size - scaled[1]) <= 1
    assert not crop.mirrored and crop.blur == 0


@settings(max_examples=60, deadline=None)
@given(any_crops(), st.sampled_from([1, 3, 4, 6]), st.integers(0, 2**32 - 1))
def test_no_data_does_not_spread(crop: Crop, bands: int, seed: int) -> None:
    """Every pixel is a mean over those with data: of a picture of one value it has that value, or no data either."""
    generator = np.random.default_rng(seed)
    image = np.full((crop.height, crop.width, bands), 3000.5, np.float32)
    gaps = generator.random(image.shape) < 0.1
    image[gaps] = np.nan
    mask = np.zeros((crop.height, crop.width), np.uint8)
    pixels, _ = apply_crop(crop, image, mask)
    assert pixels.dtype == np.float32 and pixels.shape == (crop.size, crop.size, bands)
    rows, columns = min(crop.size, crop.scaled_height - crop.top), min(crop.size, crop.scaled_width - crop.left)
    assert np.isnan(pixels[rows:]).all() and np.isnan(pixels[:, columns:]).all()
    known = pixels[~np.isnan(pixels)]
    np.testing.assert_allclose(known, 3000.5, rtol=1e-5)
    if not gaps.any():
        assert known.size == rows * columns * bands


def test_floats_are_resampled_as_integers_are() -> None:
    image = np.random.default_rng(0).integers(0, 60000, (50, 70, 5)).astype(np.uint16)
    mask = np.zeros((50, 70), np.uint8)
    for crop in (fixed_crop(50, 70, 40, 32), Crop(50, 70, 100, 140, 3, 5, 64, True, 0.7)):
        whole, _ = apply_crop(crop, image, mask)
        floats, _ = apply_crop(crop, image.astype(np.float32), mask)
        known = ~np.isnan(floats)
        assert np.abs(floats[known] - whole[known]).max() <= 40
        gaps = image.astype(np.float32)
        gaps[0, 0] = np.nan
        assert np.nanmax(np.abs(apply_crop(crop, gaps, mask)[0][8:, 8:] - floats[8:, 8:])) < 0.1
