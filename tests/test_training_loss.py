import math
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.training.loss import (
    balancing_weights,
    cross_entropy_loss,
    focal_loss,
    head_loss,
    loss_scale,
    ohem_loss,
    prior_bias,
)

Floats = NDArray[np.float64]


def drawn(seed: int, ignored: float, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of three classes and masks, of two images of 4 x 5 pixels."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(2, 3, 4, 5, generator=generator)
    masks = torch.randint(0, 3, (2, 4, 5), generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < ignored] = IGNORE
    return logits, masks


@given(st.integers(0, 2**32 - 1))
def test_sums_over_labelled_pixels(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float32)
    masks = torch.randint(0, 3, (2, 4, 5), generator=generator)
    masks[0, 1] = IGNORE
    expected = sum(
        -F.log_softmax(logits[b, :, y, x], 0)[masks[b, y, x]]
        for b in range(2)
        for y in range(4)
        for x in range(5)
        if masks[b, y, x] != IGNORE
    )
    assert torch.allclose(cross_entropy_loss(logits, masks), torch.as_tensor(expected), rtol=1e-5)


def by_pixel(logits: torch.Tensor, masks: torch.Tensor) -> Floats:
    """Minus the logarithm of the probability of the label, in float64, of labelled pixels alone."""
    values, labels = logits.double().numpy().transpose(0, 2, 3, 1).reshape(masks.numel(), -1), masks.numpy().ravel()
    values, labels = values[labels != IGNORE], labels[labels != IGNORE]
    losses: Floats = np.log(np.exp(values).sum(1)) - values[np.arange(len(labels)), labels]
    return losses


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([0.1, 2.0, 20.0]))
def test_focal_looks_away_from_what_is_known(seed: int, share: float, spread: float) -> None:
    logits, masks = drawn(seed, share, spread)
    losses = by_pixel(logits, masks)
    expected = ((1 - np.exp(-losses)) ** 2 * losses).sum()
    assert focal_loss(logits, masks).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([0.1, 2.0, 20.0]))
def test_ohem_is_the_mean_over_hard_pixels(seed: int, share: float, spread: float) -> None:
    logits, masks = drawn(seed, share, spread)
    losses = np.sort(by_pixel(logits, masks))[::-1]
    count = max((np.exp(-losses) < 0.7).sum(), math.ceil(len(losses) / 16))
    expected = losses[:count].sum() / max(count, 1) * len(losses)
    assert ohem_loss(logits, masks).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_ohem_takes_the_hardest_sixteenth_where_all_is_easy() -> None:
    logits = torch.zeros(1, 2, 8, 8)
    logits[0, 0] = torch.linspace(3, 5, 64).view(8, 8)
    logits.requires_grad_()
    masks = torch.zeros(1, 8, 8, dtype=torch.long)
    masks[0, 0, :3] = IGNORE  # 61 are labelled, of which a sixteenth is 4
    ohem_loss(logits, masks).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0, 0].flatten().nonzero().flatten().tolist() == [3, 4, 5, 6]


def test_pixels_that_are_certain_count_in_the_sixteenth_of_ohem() -> None:
    """Of 64 pixels one is wrong and the others have a loss of exactly 0: four are kept."""
    logits, masks = torch.zeros(1, 2, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    logits[0, 0] = 100
    logits[0, 0, 0, 0] = -5
    assert ohem_loss(logits, masks).item() == pytest.approx(64 * 5.0067 / 4, rel=1e-4)


LOSSES = get_args(Hyperparameters.model_fields["loss"].annotation)
WEIGHTS = torch.tensor([0.5, 1.0, 7.0])


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([1.0, 1e4, 1e30]), st.sampled_from([None, WEIGHTS]))
def test_ignored_pixels_change_neither_value_nor_gradient(
    loss: str, seed: int, share: float, spread: float, weights: torch.Tensor | None
) -> None:
    logits, masks = drawn(seed, share)
    logits.requires_grad_()
    ignored = masks == IGNORE
    other = logits.detach().clone()
    other.permute(0, 2, 3, 1)[ignored] = spread * torch.randn(int(ignored.sum()), 3)
    other.requires_grad_()
    values = [head_loss(loss, logits, masks, weights), head_loss(loss, other, masks, weights)]
    torch.autograd.backward(values)
    assert torch.equal(*values)
    assert logits.grad is not None and other.grad is not None
    assert torch.equal(logits.grad, other.grad)
    assert (logits.grad.permute(0, 2, 3, 1)[ignored] == 0).all()
    if loss not in ("ohem", "lovasz"):  # in these, some pixels are left out, or sorted where they do not count
        assert (logits.grad.permute(0, 2, 3, 1)[~ignored] != 0).any(-1).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_that_are_ignored_might_as_well_be_cut_off(loss: str) -> None:
    logits, masks = drawn(3, 0.0)
    masks[:, 2:] = IGNORE
    part = head_loss(loss, logits[:, :, :2], masks[:, :2])
    assert head_loss(loss, logits, masks).item() == pytest.approx(part.item(), rel=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighed"])
@pytest.mark.parametrize("loss", LOSSES)
def test_all_ignored_is_zero(loss: str, weights: torch.Tensor | None) -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    value = head_loss(loss, logits, torch.full((1, 2, 2), IGNORE), weights)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 0
    assert logits.grad is not None and (logits.grad == 0).all()


@pytest.mark.parametrize("spread", [0.0, 1e4, 1e30])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_extreme_logits_are_finite(loss: str, spread: float) -> None:
    logits, masks = drawn(1, 0.2, spread)
    logits.requires_grad_()
    value = head_loss(loss, logits, masks, WEIGHTS)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite() and value >= 0
    assert logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_under_autocast_losses_are_computed_in_float32(loss: str) -> None:
    logits, masks = drawn(2, 0.2)
    with torch.autocast("cpu", torch.bfloat16):
        value = head_loss(loss, logits.bfloat16(), masks, WEIGHTS)
    assert value.dtype == torch.float32
    assert torch.equal(value, head_loss(loss, logits.bfloat16().float(), masks, WEIGHTS))


@pytest.mark.parametrize("region", ["dice", "lovasz"])
def test_a_sum_weighs_both_alike_and_weights_concern_the_pixels(region: str) -> None:
    logits, masks = drawn(4, 0.2)
    parts = head_loss("cross-entropy", logits, masks, WEIGHTS) + head_loss(region, logits, masks)
    assert torch.equal(head_loss(f"cross-entropy+{region}", logits, masks, WEIGHTS), parts)


def test_class_weights_multiply_in_every_loss_of_pixels() -> None:
    logits, masks = torch.zeros(1, 3, 8, 8), torch.arange(64).view(1, 8, 8) % 3
    for loss in (cross_entropy_loss, ohem_loss, focal_loss):
        shifted = logits - WEIGHTS.log()[:, None, None] / 2
        plain, weighed = loss(logits, masks), loss(shifted, masks, WEIGHTS)
        assert weighed.item() == pytest.approx(plain.item() * float(WEIGHTS[masks].mean()), rel=1e-5)


PIXELS = {"own_labelled": 30, "labelled": 100, "pixels": 160}


def test_the_mean_is_over_the_labelled_pixels_of_the_whole_batch() -> None:
    scale = loss_scale(Hyperparameters(aux_weight=0.25), **PIXELS)
    assert scale.gradient == scale.figure == (0.01, 0.0025)
    assert scale.pixels == 100


def test_gluoncv_divides_by_the_batch_once_more_and_logs_another_figure() -> None:
    scale = loss_scale(Hyperparameters(recipe="sagemaker", aux_weight=0.25, mini_batch_size=4), **PIXELS)
    assert scale.gradient == (1 / 120, 1 / 120), "full weight of the auxiliary head, whatever aux_weight is"
    assert scale.figure == (1 / 160, 0.25 / 160)
    assert scale.pixels == 160


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=9).filter(any))
def test_balancing_weights_keep_the_scale_and_favour_the_rare(counts: list[int]) -> None:
    histogram = np.array(counts)
    weights = balancing_weights(histogram).double().numpy()
    assert (weights * histogram).sum() / histogram.sum() == pytest.approx(1, rel=1e-5)
    order = np.argsort(histogram)
    assert (np.diff(weights[order]) <= 1e-6 * weights.max()).all()
    rare = 1e-4 * histogram.sum()
    assert weights.max() / weights[histogram.argmax()] == pytest.approx(
        (histogram.max() / max(histogram.min(), rare)) ** 0.5, rel=1e-5
    )


def test_a_weight_multiplies_the_loss_of_its_pixels() -> None:
    logits, masks = torch.randn(1, 3, 2, 2), torch.tensor([[[0, 1], [2, IGNORE]]])
    parts = [cross_entropy_loss(logits, torch.where(masks == index, index, IGNORE)) for index in range(3)]
    weights = torch.tensor([2.0, 3.0, 5.0])
    weighed = cross_entropy_loss(logits - weights.log()[:, None, None] / 2, masks, weights)
    assert torch.allclose(weighed, 2 * parts[0] + 3 * parts[1] + 5 * parts[2])


def test_weights_shift_what_is_learnt_by_half_of_their_logarithm() -> None:
    """One pixel value that is class 0 in 90 of 100 pixels: what the best constant logits say of the odds."""
    masks = torch.zeros(1, 10, 10, dtype=torch.long)
    masks[0, 0] = 1
    weights = torch.tensor([0.5, 8.0])
    logits = torch.zeros(1, 2, 1, 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy_loss(logits.expand(1, 2, 10, 10), masks, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    odds = float((logits[0, 1] - logits[0, 0]).detach().exp())
    assert odds == pytest.approx(10 / 90 * (8.0 / 0.5) ** 0.5, rel=1e-3)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 3.0, 7.0])])
def test_no_constant_logits_lose_less_than_the_prior(weights: torch.Tensor | None) -> None:
    histogram = np.array([80, 15, 5])
    masks = torch.from_numpy(np.repeat(np.arange(3), histogram)).view(1, 10, 10)
    logits = prior_bias(histogram, weights).view(1, 3, 1, 1).requires_grad_()
    cross_entropy_loss(logits.expand(1, 3, 10, 10), masks, weights).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 3, 1, 1), atol=1e-3, rtol=0)


def test_the_prior_of_a_class_without_pixels_is_small_and_finite() -> None:
    bias = prior_bias(np.array([1000, 0]))
    assert bias.isfinite().all() and bias[1] < -9
