import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segwright.evaluation import ConfusionMatrix
from segwright.labels import IGNORE

CASE = Path(__file__).parent / "data" / "gluoncv" / "metric_case.npz"


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(count))


def masks(shape: tuple[int, int], classes: int) -> st.SearchStrategy[NDArray[np.uint8]]:
    return hnp.arrays(np.uint8, shape, elements=st.sampled_from([*range(classes), IGNORE]))


def test_equals_the_recorded_gluoncv_figures() -> None:
    case = np.load(CASE)
    labels = np.where(case["label"] < 0, IGNORE, case["label"]).astype(np.uint8)
    logits = case["logits"]
    matrix = ConfusionMatrix(logits.shape[1])
    for label, prediction in zip(labels, logits.argmax(1).astype(np.uint8), strict=True):
        matrix.update(label, prediction)
    scores = matrix.scores(names(logits.shape[1]))
    assert scores.pixel_accuracy == pytest.approx(float(case["pixel_accuracy"]), abs=1e-12)
    assert scores.mean_iou == pytest.approx(float(case["mean_iou"]), abs=1e-12)


@given(st.data(), st.integers(2, 6))
def test_counts_like_a_plain_loop(data: st.DataObject, classes: int) -> None:
    labels = data.draw(masks((3, 5), classes))
    predictions = np.minimum(data.draw(masks((3, 5), classes)), classes - 1)
    matrix = ConfusionMatrix(classes)
    matrix.update(labels, predictions)
    expected = np.zeros((classes, classes), np.int64)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if label != IGNORE:
            expected[label, prediction] += 1
    assert (matrix.counts == expected).all()


def test_ignored_pixels_take_no_part() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([[0, 1, IGNORE, IGNORE]], np.uint8), np.array([[0, 1, 0, 1]], np.uint8))
    scores = matrix.scores(names(2))
    assert scores.mean_iou == 1.0
    assert [entry.support for entry in scores.per_class] == [1, 1]


def test_an_absent_class_counts_zero_in_one_mean_and_not_in_the_other() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 0]], np.uint8))
    scores = matrix.scores(names(3))
    assert scores.mean_iou == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores.mean_iou_present == pytest.approx((2 / 3 + 1 / 2) / 2)
    absent = scores.per_class[2]
    assert (absent.iou, absent.dice, absent.precision, absent.recall) == (None, None, None, None)
    predicted_half_right = scores.per_class[1]
    assert predicted_half_right.recall == 0.5
    assert predicted_half_right.precision == 1.0
    assert predicted_half_right.dice == pytest.approx(2 / 3)


def test_counts_beyond_what_floats_hold() -> None:
    matrix = ConfusionMatrix(2)
    matrix.counts[0, 0] = 2**53
    matrix.update(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    assert matrix.counts[0, 0] == 2**53 + 1


def test_refuses_a_class_outside_the_matrix() -> None:
    with pytest.raises(ValueError, match="not below 2"):
        ConfusionMatrix(2).update(np.array([[2]], np.uint8), np.array([[0]], np.uint8))
    with pytest.raises(ValueError, match="not below 2"):
        ConfusionMatrix(2).update(np.array([[0]], np.uint8), np.array([[2]], np.uint8))


def test_nothing_labelled_is_zero_not_a_crash() -> None:
    scores = ConfusionMatrix(2).scores(names(2))
    assert (scores.mean_iou, scores.mean_iou_present, scores.pixel_accuracy) == (0.0, 0.0, 0.0)
    assert not any(math.isnan(value) for value in (scores.mean_iou, scores.pixel_accuracy))
