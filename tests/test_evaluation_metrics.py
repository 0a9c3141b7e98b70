import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segwright.evaluation import ConfusionMatrix
from segwright.labels import IGNORE

CASE = Path(__file__).parent / "data" / "gluoncv" / "metric_case.npz"


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(count))


Image = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Labels, some of them 255, and predictions."""


@st.composite
def counted_images(draw: st.DrawFn, fewest_classes: int = 1) -> tuple[int, list[Image]]:
    """A number of classes and images of any sizes, in which often not all classes occur."""
    classes = draw(st.one_of(st.integers(fewest_classes, 6), st.integers(fewest_classes, 254)))
    occurring = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=6))
    shapes = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4))

    def drawn(values: list[int]) -> list[NDArray[np.uint8]]:
        elements = st.sampled_from(values)
        return [draw(hnp.arrays(np.uint8, shape, elements=elements, fill=st.nothing())) for shape in shapes]

    return classes, list(zip(drawn([*occurring, IGNORE]), drawn(occurring), strict=True))


def counted(classes: int, images: list[Image]) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes)
    for labels, predictions in images:
        matrix.update(labels, predictions)
    return matrix


def in_a_row(images: list[Image]) -> Image:
    labels, predictions = zip(*images, strict=True)
    return np.concatenate([each.ravel() for each in labels]), np.concatenate([each.ravel() for each in predictions])


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


@given(counted_images())
@example((2, [(np.full((2, 3), IGNORE, np.uint8), np.ones((2, 3), np.uint8))]))
def test_counts_and_scores_are_those_of_a_plain_loop(drawn: tuple[int, list[Image]]) -> None:
    classes, images = drawn
    matrix = counted(classes, images)
    pairs = [(int(label), int(prediction)) for label, prediction in zip(*in_a_row(images), strict=True)]
    pairs = [pair for pair in pairs if pair[0] != IGNORE]
    counts = np.zeros((classes, classes), np.int64)
    for pair in pairs:
        counts[pair] += 1
    assert matrix.counts.dtype == np.int64 and (matrix.counts == counts).all()

    def ratio(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    scores = matrix.scores(names(classes))
    for index, entry in enumerate(scores.per_class):
        right = pairs.count((index, index))
        missed = sum(label == index != prediction for label, prediction in pairs)
        invented = sum(label != index == prediction for label, prediction in pairs)
        assert (entry.index, entry.name, entry.support) == (index, f"class {index}", right + missed)
        assert entry.iou == ratio(right, right + missed + invented)
        assert entry.dice == ratio(2 * right, 2 * right + missed + invented)
        assert entry.precision == ratio(right, right + invented)
        assert entry.recall == ratio(right, right + missed)
    overlaps = [entry.iou or 0 for entry in scores.per_class]
    present = [overlaps[index] for index in {label for label, _ in pairs}]
    assert scores.mean_iou == pytest.approx(sum(overlaps) / classes)
    assert scores.mean_dice == pytest.approx(sum(entry.dice or 0 for entry in scores.per_class) / classes)
    assert scores.mean_iou_present == pytest.approx(sum(present) / max(len(present), 1))
    assert scores.pixel_accuracy == sum(label == prediction for label, prediction in pairs) / max(len(pairs), 1)


@given(counted_images(), st.randoms(use_true_random=False))
def test_counting_in_parts_and_in_any_order_is_counting_the_whole(
    drawn: tuple[int, list[Image]], random: Random
) -> None:
    classes, images = drawn
    whole = counted(classes, [in_a_row(images)])
    random.shuffle(images)
    assert (counted(classes, images).counts == whole.counts).all()
    cut = random.randint(0, len(images))
    summed = ConfusionMatrix(classes)
    summed.counts = counted(classes, images[:cut]).counts + counted(classes, images[cut:]).counts
    assert summed.scores(names(classes)) == whole.scores(names(classes))


@given(counted_images(fewest_classes=2))
@example((2, [(np.full((2, 3), IGNORE, np.uint8), np.ones((2, 3), np.uint8))]))
def test_agrees_with_torchmetrics(drawn: tuple[int, list[Image]]) -> None:
    """Where the definitions agree. Torchmetrics says 0 where ours is undefined, and its macro mean is over the classes
    that are labelled or predicted: ours are over all classes, or those labelled. (Its segmentation.MeanIoU is another
    figure: it has no ignored pixels and averages over images.)
    """
    import torchmetrics.functional.classification as peer  # after Segwright, which helps torchvision to import

    classes, images = drawn
    matrix = counted(classes, images)
    scores = matrix.scores(names(classes))
    labels, predictions = (torch.from_numpy(each).long() for each in in_a_row(images))

    def of_classes(figure: Callable[..., torch.Tensor]) -> list[float]:
        return figure(predictions, labels, num_classes=classes, average="none", ignore_index=IGNORE).tolist()

    peers_counts = peer.multiclass_confusion_matrix(predictions, labels, classes, ignore_index=IGNORE)
    assert (matrix.counts == peers_counts.numpy()).all()
    overlaps = of_classes(peer.multiclass_jaccard_index)
    for ours, peers in (
        ([entry.iou for entry in scores.per_class], overlaps),
        ([entry.dice for entry in scores.per_class], of_classes(peer.multiclass_f1_score)),
        ([entry.precision for entry in scores.per_class], of_classes(peer.multiclass_precision)),
        ([entry.recall for entry in scores.per_class], of_classes(peer.multiclass_recall)),
    ):
        assert [figure or 0 for figure in ours] == pytest.approx(peers, abs=1e-6)
    assert scores.mean_iou == pytest.approx(sum(overlaps) / classes, abs=1e-6)
    accuracy = peer.multiclass_accuracy(predictions, labels, classes, average="micro", ignore_index=IGNORE)
    assert scores.pixel_accuracy == pytest.approx(accuracy.item(), abs=1e-6)
    if matrix.counts.sum(1)[matrix.counts.sum(0) > 0].all():  # none is only predicted
        macro = peer.multiclass_jaccard_index(predictions, labels, classes, average="macro", ignore_index=IGNORE)
        assert scores.mean_iou_present == pytest.approx(macro.nan_to_num().item(), abs=1e-6)


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
