import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segwright.training.optimizers import MXNetSGD

RATES = st.lists(st.floats(0, 0.5), min_size=1, max_size=6)


def path(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, rates: list[float]) -> list[torch.Tensor]:
    places = []
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.sin(parameter.detach() + step)
        optimizer.step()
        places.append(parameter.detach().clone())
    return places


@given(RATES, st.floats(0, 1), st.floats(0, 0.1))
def test_the_rate_is_inside_the_momentum(rates: list[float], momentum: float, decay: float) -> None:
    parameter = torch.tensor([1.0, -2.0], dtype=torch.float64)
    places = path(MXNetSGD([parameter], 0.1, momentum, decay), parameter, rates)
    weight, moving = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for step, rate in enumerate(rates):
        moving = momentum * moving - rate * (torch.sin(weight + step) + decay * weight)
        weight = weight + moving
        assert torch.allclose(places[step], weight)


@given(st.floats(0.001, 0.5), st.integers(1, 6))
def test_at_a_constant_rate_it_is_torchs(rate: float, steps: int) -> None:
    ours, theirs = (torch.tensor([1.0, -2.0], dtype=torch.float64) for _ in range(2))
    sgd = torch.optim.SGD([theirs], lr=rate, momentum=0.9, weight_decay=0.01)
    for mine, other in zip(
        path(MXNetSGD([ours], rate, 0.9, 0.01), ours, [rate] * steps),
        path(sgd, theirs, [rate] * steps),
        strict=True,
    ):
        assert torch.allclose(mine, other)


def test_a_rate_of_0_still_moves() -> None:
    parameter = torch.tensor([1.0])
    first, second = path(MXNetSGD([parameter], 0.1, 0.9, 0.0), parameter, [0.1, 0.0])
    assert second.item() - first.item() == pytest.approx(0.9 * (first.item() - 1))
