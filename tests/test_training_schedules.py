import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.hyperparameters import Hyperparameters
from segwright.training.schedules import learning_rate


def settings(**values: object) -> Hyperparameters:
    return Hyperparameters.model_validate({"epochs": 10, "learning_rate": 0.1, **values})


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
