import math
from itertools import product
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segwright.evaluation import BoundaryCounts, BoundaryScores
from segwright.evaluation.boundary import TOLERANCES, contour_counts
from segwright.labels import IGNORE

Mask = NDArray[np.uint8]
Image = tuple[Mask, Mask]
"""Labels, some of them 255, and predictions."""
CLASSES = 3


def masks(shape: tuple[int, int], values: list[int]) -> st.SearchStrategy[Mask]:
    return hnp.arrays(np.uint8, shape, elements=st.sampled_from(values), fill=st.sampled_from(values))


@st.composite
def images(draw: st.DrawFn) -> Image:
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    return draw(masks(shape, [0, 1, 2, IGNORE])), draw(masks(shape, [0, 1, 2]))


def scores(*drawn: Image) -> BoundaryScores:
    counts = BoundaryCounts(CLASSES)
    for labels, predictions in drawn:
        counts.update(labels, predictions)
    return counts.scores()


def plain_f(image: Image, index: int, tolerance: int) -> float | None:
    """The boundary F-score of a class as docs/metrics.md defines it, pixel by pixel."""
    labels, predictions = image
    height, width = labels.shape
    everywhere = list(product(range(height), range(width)))

    def neighbours(pixel: tuple[int, int]) -> list[tuple[int, int]]:
        y, x = pixel
        near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        return [(y, x) for y, x in near if 0 <= y < height and 0 <= x < width]

    def contour(mask: Mask) -> list[tuple[int, int]]:
        inside = [pixel for pixel in everywhere if mask[pixel] == index]
        return [pixel for pixel in inside if any(mask[n] not in (index, IGNORE) for n in neighbours(pixel))]

    def near(one: tuple[int, int], other: tuple[int, int]) -> bool:
        return math.dist(one, other) <= tolerance

    ignored = [pixel for pixel in everywhere if labels[pixel] == IGNORE]
    unknown = [*ignored, *(n for pixel in ignored for n in neighbours(pixel))]
    true, predicted = contour(labels), contour(predictions)
    counted = [[pixel for pixel in own if not any(near(pixel, u) for u in unknown)] for own in (true, predicted)]
    if not any(counted):
        return None
    recall, precision = (
        sum(any(near(pixel, o) for o in others) for pixel in own) / len(own) if own else 0.0
        for own, others in zip(counted, (predicted, true), strict=True)
    )
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def plain_bands(image: Image, index: int) -> tuple[int, int]:
    """Intersection and union of the bands of a class as docs/metrics.md defines them, pixel by pixel."""
    labels, predictions = image
    height, width = labels.shape
    reach = max(round(0.02 * math.hypot(height, width)), 1)
    known = np.where(labels == IGNORE, IGNORE, predictions)

    def in_band(mask: Mask, y: int, x: int) -> bool:
        if mask[y, x] != index:
            return False
        window = mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        at_edge = min(y, x, height - 1 - y, width - 1 - x) < reach
        return at_edge or bool(((window != index) & (window != IGNORE)).any())

    pairs = [(in_band(labels, y, x), in_band(known, y, x)) for y, x in product(range(height), range(width))]
    return sum(one and other for one, other in pairs), sum(one or other for one, other in pairs)


def of_random_blobs(seed: int, height: int, width: int, ignored: float) -> Image:
    random = np.random.default_rng(seed)
    coarse = [random.integers(0, CLASSES, (4, 5)).astype(np.uint8) for _ in range(2)]
    labels, other = (
        cv2.resize(each, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8) for each in coarse
    )
    predictions = np.where(random.random((height, width)) < 0.02, other, np.roll(labels, (1, 3), (0, 1)))
    labels[random.random((height, width)) < ignored] = IGNORE
    return labels, predictions.astype(np.uint8)


@given(images())
@example((np.full((3, 3), IGNORE, np.uint8), np.zeros((3, 3), np.uint8)))
def test_scores_are_those_of_plain_loops(image: Image) -> None:
    found = scores(image)
    for index, entry in enumerate(found.per_class):
        assert entry.f == pytest.approx({t: plain_f(image, index, t) for t in TOLERANCES}, abs=1e-9)
        intersection, union = plain_bands(image, index)
        assert entry.iou == (intersection / union if union else None)


@pytest.mark.parametrize(("seed", "ignored"), [(0, 0.0), (1, 0.002), (2, 0.002)])
def test_scores_of_larger_images_are_those_of_plain_loops(seed: int, ignored: float) -> None:
    image = of_random_blobs(seed, 90, 110, ignored)  # with bands of 3 pixels
    found = scores(image)
    for index, entry in enumerate(found.per_class):
        intersection, union = plain_bands(image, index)
        assert 0 < intersection < union and entry.iou == intersection / union
    small = (image[0][:40, :44].copy(), image[1][:40, :44].copy())
    for index, entry in enumerate(scores(small).per_class):
        assert entry.f == pytest.approx({t: plain_f(small, index, t) for t in TOLERANCES}, abs=1e-9)


def test_a_shift_is_forgiven_up_to_the_tolerance() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 1
    shifts = {shift: np.roll(labels, shift, 1) for shift in (0, 1, 2, 3, 5)}
    for shift, predictions in shifts.items():
        predictions[:, :6] = 0
        found = scores((labels, predictions))
        assert found.per_class[0].f == {t: float(shift <= t) for t in TOLERANCES}
        assert found.per_class[2].f == dict.fromkeys(TOLERANCES)  # in neither
        assert found.mean_f == {t: float(shift <= t) for t in TOLERANCES}


def test_a_class_in_one_of_both_masks_scores_nothing_and_counts() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[5:10, 5:10] = 1
    predictions = np.where(labels == 1, 2, labels).astype(np.uint8)
    found = scores((labels, predictions))
    assert [entry.f[2] for entry in found.per_class] == [1.0, 0.0, 0.0]
    assert found.mean_f[2] == pytest.approx(1 / 3)
    assert [entry.iou for entry in found.per_class][1:] == [0.0, 0.0]


def test_the_edge_of_the_image_is_no_border_of_f_scores_and_one_of_bands() -> None:
    whole = np.zeros((100, 100), np.uint8)
    found = scores((whole, whole)).per_class[0]
    assert found.f == dict.fromkeys(TOLERANCES)
    assert found.iou == 1.0
    assert plain_bands((whole, whole), 0) == (100 * 100 - 94 * 94, 100 * 100 - 94 * 94)


@given(images(), st.data())
def test_what_ignored_pixels_hide_changes_nothing(image: Image, data: st.DataObject) -> None:
    labels, predictions = image
    ignored, others = labels == IGNORE, data.draw(masks(labels.shape, [0, 1, 2]))
    assert scores((labels, np.where(ignored, others, predictions))) == scores(image)
    revealed = contour_counts(np.where(ignored, others, labels), predictions, CLASSES)
    for (hits, support), (hits_in_all, support_in_all) in zip(contour_counts(*image, CLASSES), revealed, strict=True):
        assert (hits <= hits_in_all).all()  # Hits stay hits, and misses misses.
        assert (support - hits <= support_in_all - hits_in_all).all()


def test_a_perfect_prediction_scores_one_beside_ignored_pixels() -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[20:40, 20:40] = 1
    labels[38:42, :] = IGNORE  # hides one of the four sides
    found = scores((labels, np.where(labels == IGNORE, 2, labels).astype(np.uint8)))
    for entry in found.per_class[:2]:
        assert entry.f == dict.fromkeys(TOLERANCES, 1.0)
        assert entry.iou == 1.0
    assert found.per_class[2].f == dict.fromkeys(TOLERANCES)


def test_a_border_against_ignored_pixels_is_none() -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[:, 30:] = IGNORE
    found = scores((labels, np.zeros_like(labels)))
    assert found.per_class[0].f == dict.fromkeys(TOLERANCES)
    labels[:, 30:33], labels[:, 33:] = IGNORE, 1
    assert plain_bands((labels, labels), 0)[0] > 60 * 60 - 58 * 58 - 58 * 27  # reaches over a thin ignored strip


@settings(max_examples=30)
@given(st.lists(images(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_counting_in_parts_and_in_any_order_gives_equal_scores(drawn: list[Image], random: Random) -> None:
    whole = scores(*drawn)
    random.shuffle(drawn)
    assert scores(*drawn) == whole
    total = BoundaryCounts(CLASSES)
    for image in drawn:  # as processes do
        part = BoundaryCounts(CLASSES)
        part.update(*image)
        total.f_sums += part.f_sums
        total.images += part.images
        total.bands += part.bands
    assert total.scores() == whole


def test_means_are_over_images_with_a_contour() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 10:20] = 1
    missed = np.zeros_like(labels)
    found = scores((labels, labels), (labels, missed), (missed, missed))
    assert found.per_class[1].f[2] == 0.5
    assert found.per_class[0].f[2] == 0.5
