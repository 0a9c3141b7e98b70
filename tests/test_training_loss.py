import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.training.loss import balancing_weights, loss_scale, pixel_loss, prior_bias


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
    assert torch.allclose(pixel_loss(logits, masks), torch.as_tensor(expected), rtol=1e-5)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_ignored_pixels_change_neither_value_nor_gradient(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 5, generator=generator).requires_grad_()
    masks = torch.randint(0, 3, (2, 4, 5), generator=generator)
    ignored = torch.rand(masks.shape, generator=generator) < share
    masks[ignored] = IGNORE
    other = logits.detach().clone()
    other.permute(0, 2, 3, 1)[ignored] = 1e4 * torch.randn(int(ignored.sum()), 3, generator=generator)
    other.requires_grad_()
    values = [pixel_loss(logits, masks), pixel_loss(other, masks)]
    torch.autograd.backward(values)
    assert torch.equal(*values)
    assert logits.grad is not None and other.grad is not None
    assert torch.equal(logits.grad, other.grad)
    assert (logits.grad.permute(0, 2, 3, 1)[ignored] == 0).all()
    assert (logits.grad.permute(0, 2, 3, 1)[~ignored] != 0).any(-1).all()


def test_all_ignored_is_zero() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = pixel_loss(logits, torch.full((1, 2, 2), IGNORE))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None and (logits.grad == 0).all()


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
    parts = [pixel_loss(logits, torch.where(masks == index, index, IGNORE)) for index in range(3)]
    weights = torch.tensor([2.0, 3.0, 5.0])
    weighed = pixel_loss(logits - weights.log()[:, None, None] / 2, masks, weights)
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
        loss = pixel_loss(logits.expand(1, 2, 10, 10), masks, weights)
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
    pixel_loss(logits.expand(1, 3, 10, 10), masks, weights).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 3, 1, 1), atol=1e-3, rtol=0)


def test_the_prior_of_a_class_without_pixels_is_small_and_finite() -> None:
    bias = prior_bias(np.array([1000, 0]))
    assert bias.isfinite().all() and bias[1] < -9
