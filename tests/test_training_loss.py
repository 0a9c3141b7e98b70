import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segwright.labels import IGNORE
from segwright.training.loss import pixel_loss


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


def test_ignored_pixels_have_no_gradient() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    masks = torch.tensor([[[0, IGNORE], [IGNORE, 2]]])
    pixel_loss(logits, masks).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[0, :, 0, 1] == 0).all()
    assert (logits.grad[0, :, 1, 0] == 0).all()
    assert (logits.grad[0, :, 0, 0] != 0).all()


def test_all_ignored_is_zero() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = pixel_loss(logits, torch.full((1, 2, 2), IGNORE))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None and (logits.grad == 0).all()
