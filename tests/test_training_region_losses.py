import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segwright.evaluation import ConfusionMatrix
from segwright.labels import IGNORE
from segwright.training.region_losses import dice_loss, lovasz_loss

Floats = NDArray[np.float64]


def drawn(seed: int, classes: int = 4, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and masks of two images; the last class is in no mask."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, 4, 5, generator=generator)
    masks = torch.randint(0, classes - 1, (2, 4, 5), generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < ignored] = IGNORE
    return logits, masks


def labelled_pixels(logits: torch.Tensor, masks: torch.Tensor) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities [pixels, C] and labels [pixels], as far as labelled."""
    labels = masks.numpy().ravel()
    exponentials = np.exp(logits.double().numpy().transpose(0, 2, 3, 1).reshape(len(labels), -1))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities[labels != IGNORE], labels[labels != IGNORE]


def lovasz_extension(errors: Floats, truth: NDArray[np.bool_]) -> float:
    """The Choquet integral of one minus IoU: over all thresholds, of the set of pixels with larger errors."""
    total, levels = 0.0, [0.0, *np.unique(errors)]
    for lower, upper in itertools.pairwise(levels):
        wrong = errors >= upper
        total += (upper - lower) * wrong.sum() / (wrong | truth).sum()
    return total


@given(st.integers(0, 2**32 - 1))
def test_dice_is_that_of_the_classes_that_occur(seed: int) -> None:
    logits, masks = drawn(seed)
    probabilities, labels = labelled_pixels(logits, masks)
    losses = []
    for index in np.unique(labels):
        truth, probability = labels == index, probabilities[:, index]
        losses.append(1 - 2 * probability[truth].sum() / (probability.sum() + truth.sum()))
    assert dice_loss(logits, masks).item() == pytest.approx(np.mean(losses or [0]) * len(labels), rel=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_lovasz_is_the_extension_of_one_minus_iou(seed: int) -> None:
    logits, masks = drawn(seed)
    probabilities, labels = labelled_pixels(logits, masks)
    losses = []
    for index in np.unique(labels):
        truth = labels == index
        losses.append(lovasz_extension(np.abs(truth - probabilities[:, index]), truth))
    assert lovasz_loss(logits, masks).item() == pytest.approx(np.mean(losses or [0]) * len(labels), rel=1e-5)


def test_a_gradient_of_lovasz_is_how_much_worse_the_iou_gets() -> None:
    """Two classes, five pixels of which two are class 1; the errors fall from left to right."""
    truth = torch.tensor([[[0, 1, 0, 1, 0]]])
    errors = torch.tensor([0.8, 0.6, 0.4, 0.3, 0.1])
    chance = torch.where(truth[0, 0] == 1, 1 - errors, errors).requires_grad_()
    logits = torch.stack([torch.log(1 - chance), torch.log(chance)])[None, :, None]
    lovasz_loss(logits, truth).backward()  # type: ignore[no-untyped-call]
    # One minus IoU of class 1 as pixel after pixel is wrong, 1/3, 2/3, 3/4, 4/4, 5/5, and of class 0.
    of_class_1 = np.diff([0, 1 / 3, 2 / 3, 3 / 4, 1, 1])
    of_class_0 = np.diff([0, 1 / 3, 2 / 4, 3 / 4, 4 / 5, 1])
    expected = 5 / 2 * (of_class_1 + of_class_0) * np.array([1, -1, 1, -1, 1])
    assert chance.grad is not None
    np.testing.assert_allclose(chance.grad.numpy(), expected, rtol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_of_certain_predictions_both_are_the_scores_of_an_evaluation(seed: int) -> None:
    logits, masks = drawn(seed, ignored=0.1)
    predicted = logits.argmax(1)
    certain = 1000 * torch.nn.functional.one_hot(predicted, 4).permute(0, 3, 1, 2).float()
    matrix = ConfusionMatrix(4)
    matrix.update(masks.numpy().astype(np.uint8), predicted.numpy().astype(np.uint8))
    present = [entry for entry in matrix.scores(("a", "b", "c", "d")).per_class if entry.support]
    pixels = int((masks != IGNORE).sum())
    for loss, scores in (
        (dice_loss, [entry.dice for entry in present]),
        (lovasz_loss, [entry.iou for entry in present]),
    ):
        expected = 1 - np.mean([score for score in scores if score is not None])
        assert loss(certain, masks).item() / pixels == pytest.approx(expected, abs=1e-6)


def test_a_rare_class_counts_like_a_common_one() -> None:
    masks = torch.zeros(1, 10, 10, dtype=torch.long)
    masks[0, 0, 0] = 1
    blind = torch.zeros(1, 2, 10, 10)
    blind[:, 0] = 1000
    for loss in (dice_loss, lovasz_loss):
        assert loss(blind, masks).item() / 100 == pytest.approx(0.5, abs=0.01)
