import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segwright.hyperparameters import Hyperparameters
from segwright.networks import NetworkSpec, build_network
from segwright.training.optimizers import MXNetSGD, learning_rate, make_optimizer, updates_per_epoch
from tests.conftest import TINY_BACKBONE


def settings(**values: object) -> Hyperparameters:
    return Hyperparameters.model_validate({"epochs": 10, "learning_rate": 0.1, "warmup": 0, **values})


@given(st.integers(0, 200), st.integers(1, 20))
def test_poly_and_cosine_are_their_closed_forms(update: int, per_epoch: int) -> None:
    done = min(update / (10 * per_epoch), 1)
    poly = learning_rate(settings(lr_scheduler="poly"), update, per_epoch)
    cosine = learning_rate(settings(lr_scheduler="cosine"), update, per_epoch)
    assert poly == pytest.approx(0.1 * (1 - done) ** 0.9)
    assert cosine == pytest.approx(0.05 * (1 + math.cos(math.pi * done)), abs=1e-12)


def test_step_falls_at_each_listed_epoch() -> None:
    stepped = settings(lr_scheduler="step", lr_scheduler_step="2, 4", lr_scheduler_factor=0.5)
    rates = [learning_rate(stepped, update, updates_per_epoch=3) for update in (0, 5, 6, 11, 12, 29)]
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


def test_never_negative_past_the_end() -> None:
    assert learning_rate(settings(), 10_000, 3) == 0


@given(st.floats(0.01, 0.9), st.integers(1, 20), st.sampled_from(["poly", "cosine"]))
def test_a_warm_up_grows_evenly_to_the_highest_rate_and_then_it_falls_to_0(
    warmup: float, per_epoch: int, kind: str
) -> None:
    warmed = settings(warmup=warmup, lr_scheduler=kind)
    total = 10 * per_epoch
    rates = [learning_rate(warmed, update, per_epoch) for update in range(total + 1)]
    warm = [rate for update, rate in enumerate(rates) if update < warmup * total]
    assert warm == pytest.approx([0.1 * min((update + 1) / (warmup * total), 1) for update in range(len(warm))])
    rest = rates[len(warm) :]
    assert rest == sorted(rest, reverse=True) and max(rest) <= 0.1
    assert rest[-1] == pytest.approx(0, abs=1e-12)
    done = [(update - warmup * total) / (total - warmup * total) for update in range(len(warm), total + 1)]
    assert rest == pytest.approx(
        [0.1 * ((1 - d) ** 0.9 if kind == "poly" else (1 + math.cos(math.pi * d)) / 2) for d in done], abs=1e-9
    )


@given(st.integers(64, 500), st.integers(1, 64))
def test_the_formula_counts_updates_as_its_recipe_does(samples: int, batch: int) -> None:
    kept = updates_per_epoch(Hyperparameters(mini_batch_size=batch), samples)
    rolled = updates_per_epoch(Hyperparameters(recipe="sagemaker", mini_batch_size=batch), samples)
    assert kept == math.ceil(samples / batch)
    assert rolled == samples // batch


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


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("nag", torch.optim.SGD, {"nesterov": True, "momentum": 0.8}),
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
        ("adagrad", torch.optim.Adagrad, {"eps": 1e-7}),
        ("adadelta", torch.optim.Adadelta, {"rho": 0.9, "eps": 1e-5}),
        ("rmsprop", torch.optim.RMSprop, {"alpha": 0.7, "eps": 1e-8, "centered": False}),
    ],
)
def test_optimizers_have_the_constants_of_mxnets(
    name: str, kind: type[torch.optim.Optimizer], options: dict[str, object]
) -> None:
    given = {"optimizer": name, "momentum": "0.8", "gamma1": "0.7", "weight_decay": "0.03", "head_rate_factor": "4"}
    network = build_network(NetworkSpec("fcn", TINY_BACKBONE, 2))
    optimizer = make_optimizer(network, Hyperparameters.from_strings(given))
    assert type(optimizer) is kind
    for group, factor in zip(optimizer.param_groups, (1, 4), strict=True):
        assert {key: group[key] for key in options} == options
        assert (group["weight_decay"], group["lr_factor"]) == (0.03, factor)
