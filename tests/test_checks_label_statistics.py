from dataclasses import asdict
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segwright.checks import label_statistics
from segwright.checks.label_statistics import LabelStatistics, measure_labels
from segwright.data.pairs import Pair
from segwright.formats.images import encode_jpeg, encode_png
from segwright.formats.pixels import PixelFormat
from segwright.labels import LabelMap
from segwright.storage import BytesBlob

NAMES = ("ground", "thing", "other")


def strip(width: int, start: int = 20, *, upright: bool = False) -> NDArray[np.uint8]:
    mask = np.zeros((60, 80), np.uint8)
    mask[start : start + width] = 1
    return np.ascontiguousarray(mask.T) if upright else mask


def blobs(seed: int, *, top: float = 0.5, left: float = 0.5, size: int = 96) -> NDArray[np.uint8]:
    """Discs, of which these shares lie in the top and in the left half."""
    rng, mask = np.random.default_rng(seed), np.zeros((size, size), np.uint8)
    for _ in range(12):
        row, column = rng.integers(8, size // 2 - 8, 2)
        row, column = row + size // 2 * (rng.random() > top), column + size // 2 * (rng.random() > left)
        cv2.circle(mask, (int(column), int(row)), int(rng.integers(3, 7)), 1, -1)
    return mask


def pair(key: str, mask: NDArray[np.uint8], image: NDArray[np.uint8] | None = None) -> Pair:
    pixels = np.full((*mask.shape, 3), 90, np.uint8) if image is None else image
    return Pair(key, BytesBlob(f"{key}.png", encode_png(pixels)), BytesBlob(f"{key}_mask.png", encode_png(mask)))


def measured(*masks: NDArray[np.uint8], label_map: LabelMap | None = None) -> LabelStatistics:
    pairs = [pair(str(index), mask) for index, mask in enumerate(masks)]
    return measure_labels(pairs, label_map or LabelMap.identity(), 3, class_names=NAMES)


@pytest.mark.parametrize("width", [2, 4, 10, 20])
def test_the_width_of_a_strip_is_found_also_where_it_runs_beside_the_border(width: int) -> None:
    for mask in (strip(width), strip(width, upright=True)):
        found = measured(mask)
        assert found.widths[1] == pytest.approx(width, rel=0.02)
    assert measured(strip(width, start=0)).widths[1] == pytest.approx(2 * width, rel=0.02)


def test_a_disc_is_as_wide_as_two_thirds_of_its_diameter_and_a_whole_mask_as_its_long_side() -> None:
    disc = np.zeros((100, 100), np.uint8)
    cv2.circle(disc, (50, 50), 30, 1, -1)
    assert measured(disc).widths[1] == pytest.approx(40, rel=0.05)
    whole = measured(np.ones((60, 80), np.uint8))
    assert whole.widths == (None, 160, None)


def test_a_width_is_typical_for_most_pixels() -> None:
    assert measured(strip(30), strip(30), strip(4), strip(4), strip(4)).widths[1] == pytest.approx(30)


def test_sizes_and_shares() -> None:
    mask = np.zeros((50, 60), np.uint8)
    mask[:5, :4] = mask[10:15, 10:14] = mask[20:25, 20:24] = 2
    mask[:, 50:] = 255
    found = measured(mask, mask, np.zeros((50, 60), np.uint8))
    assert (found.images, found.long_side, found.short_side) == (3, 60, 50)
    assert found.shares == pytest.approx((1 - 120 / 8000, 0, 120 / 8000))


def test_large_masks_are_reduced_and_their_lengths_scaled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = strip(24)
    full = measured(mask)
    monkeypatch.setattr(label_statistics, "_MASK_PIXELS", mask.size // 4)
    reduced = measured(mask)
    assert reduced.widths[1] == pytest.approx(full.widths[1], rel=0.1)
    assert (reduced.long_side, reduced.shares) == (full.long_side, full.shares)


def test_label_maps_are_applied_and_what_they_do_not_name_is_ignored() -> None:
    found = measured(strip(10) * 255, label_map=LabelMap(values=((255, 2),)))
    assert found.shares == (0, 0, 1)
    assert found.widths[2] == pytest.approx(10)


@pytest.mark.parametrize("upright", [True, False])
def test_labels_have_an_up_where_a_class_prefers_one_half(upright: bool) -> None:
    found = measured(*(blobs(seed, top=0.8 if upright else 0.5) for seed in range(30)))
    assert (found.has_up, found.has_left, found.has_direction) == (upright, False, False)
    if upright:
        assert found.up_reason.startswith("thing has ")
        assert "top half" in found.up_reason


def test_labels_have_an_up_where_things_stand_on_the_lower_border() -> None:
    """As people in portraits: little is higher or lower, but what is above people is ground, and nothing is below."""

    def portrait(width: int) -> NDArray[np.uint8]:
        mask = np.zeros((80, 60), np.uint8)
        mask[5:, 20 : 20 + width] = 1
        return mask

    found = measured(*(portrait(width) for width in range(10, 30)))
    assert found.has_up
    assert found.up_reason == "ground is the upper class at 100% of its borders in that direction"


def test_left_and_right_are_told_apart_by_classes_that_always_lie_on_one_side() -> None:
    def lungs(seed: int) -> NDArray[np.uint8]:
        right = blobs(seed, left=0) * 2
        return np.maximum(blobs(seed + 100, left=1), right).astype(np.uint8)

    found = measured(*(lungs(seed) for seed in range(20)))
    assert (found.has_up, found.has_left) == (False, True)
    assert "100% of its pixels in the left half" in found.left_reason
    assert not measured(*(blobs(seed, left=0.7) for seed in range(20))).has_left  # such as cars where one drives left


def test_layers_have_a_direction_but_no_up() -> None:
    layers = [strip(10, start=start) for start in range(0, 50, 5)]
    found = measured(*layers, *(mask[::-1] for mask in layers))
    assert (found.has_up, found.has_direction) == (False, True)
    assert found.direction_reason.endswith("100% of its borders running horizontally")
    both = [rotated for mask in layers for rotated in (mask, np.ascontiguousarray(mask.T))]
    assert not measured(*both).has_direction


def test_frames_of_two_films_prove_nothing() -> None:
    """In the longer one the thing is at the top; the same images, mixed, would prove an up."""
    films = [blobs(4, top=0.8)] * 22 + [blobs(5, top=0.4)] * 13
    assert not measured(*films).has_up
    assert measured(*films[::5], *films[1::5], *films[2::5], *films[3::5], *films[4::5]).has_up


def test_few_images_err_on_the_safe_side() -> None:
    found = measured(*(blobs(seed) for seed in range(7)))
    assert (found.has_up, found.has_left, found.has_direction) == (True, False, True)
    assert found.up_reason == "fewer than 8 images cannot tell"
    assert found.colour_accuracy is None


def coloured(seed: int, *, by_class: bool) -> Pair:
    """Brightness is noise, and hue either the class or noise too."""
    rng, mask = np.random.default_rng(seed), blobs(seed)
    hue = mask if by_class else rng.integers(0, 2, mask.shape)
    colours = np.where(hue[..., None] > 0, (1.0, 0.5, 0.5), (0.5, 1.0, 0.5)) * rng.uniform(120, 250, (*mask.shape, 1))
    return pair(str(seed), mask, colours.astype(np.uint8))


def test_colour_tells_the_class_where_it_is_the_class_alone() -> None:
    for by_class, expected in ((True, 1.0), (False, 0.5)):
        pairs = [coloured(seed, by_class=by_class) for seed in range(8)]
        found = measure_labels(pairs, LabelMap.identity(), 2)
        assert found.colour_accuracy == pytest.approx(expected, abs=0.05)
        deep = measure_labels(pairs, LabelMap.identity(), 2, pixel_format=PixelFormat(4))
        assert asdict(deep) == {**asdict(found), "colour_accuracy": None}


def striped(seed: int) -> Pair:
    """A JPEG of stripes of two classes in varied colours, which begin within the blocks of 8 pixels."""
    rng, stripes = np.random.default_rng(seed), (np.arange(1000) + 6) // 8
    classes = rng.integers(0, 2, 200, np.uint8)
    colours = np.where(classes[:, None] > 0, (200, 90, 90), (90, 200, 90)) + rng.integers(-30, 30, (200, 3))
    image = np.tile(colours[stripes].astype(np.uint8), (30, 1, 1))
    return Pair("a", BytesBlob("a.jpg", encode_jpeg(image)), pair("a", np.tile(classes[stripes], (30, 1))).mask)


def test_reduced_images_and_masks_stay_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_statistics, "_COLOUR_PIXELS", 200)
    found = measure_labels([striped(seed) for seed in range(8)], LabelMap.identity(), 2)
    assert found.colour_accuracy is not None
    assert found.colour_accuracy > 0.9


def test_a_sample_is_spread_over_the_pairs_and_each_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_statistics, "_IMAGES", 5)
    calls = SimpleNamespace(count=0)

    def after_each() -> None:
        calls.count += 1

    pairs = [pair(str(index), strip(index + 1)) for index in range(21)]
    found = measure_labels(pairs, LabelMap.identity(), 3, after_each=after_each)
    assert (found.images, calls.count) == (5, 5)
    assert found.shares[1] == pytest.approx((1 + 6 + 11 + 16 + 21) / 5 / 60)
