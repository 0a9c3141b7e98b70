"""When a training ends, how far it is and when it validates, at speeds that are given."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segwright.hyperparameters import Hyperparameters
from segwright.training.schedule import Schedule, Timing


def schedule(updates_per_epoch: int = 10, validation: float = 0.0, after: int = 0, **values: object) -> Schedule:
    given = Hyperparameters.model_validate({"learning_rate": 0.1, "warmup": 0, **values})
    return Schedule(given, Timing(validation=validation), updates_per_epoch, validations_after=after)


def train(course: Schedule, seconds: float, updates: int) -> None:
    """Make updates that take so many seconds each."""
    course.begin_epoch()
    for _ in range(updates):
        course.timing.elapsed += seconds
        course.count_update()


def whole(course: Schedule, seconds: float, validation: float) -> tuple[int, int]:
    """Train to the end; return how many updates and validations that takes."""
    epoch = validations = 0
    while True:
        for _ in range(course.updates_per_epoch):
            train(course, seconds, 1)
            if course.time_is_used:
                break
        epoch += 1
        if course.validates_after(epoch):
            validations += 1
            course.timing.elapsed += validation
            course.timing.validation = validation
            if course.ends_after(epoch):
                return course.updates, validations


@settings(max_examples=40)
@example(minutes=1, updates_per_epoch=1, update=0.015625, validation=0.05078125, start=0)
@given(
    minutes=st.floats(1, 100),
    updates_per_epoch=st.integers(1, 200),
    update=st.floats(0.003, 0.02),
    validation=st.floats(0.001, 0.2),
    start=st.floats(0.0, 0.3),
)
def test_a_budget_ends_within_a_twentieth(
    minutes: float, updates_per_epoch: int, update: float, validation: float, start: float
) -> None:
    """Times are shares of the budget; the first estimate of a validation is wrong by a tenth, and the number of
    validations, which is chosen once, with it.
    """
    budget = 60 * minutes
    course = schedule(updates_per_epoch, 0.9 * validation * budget, minutes=minutes)
    course.timing.elapsed = start * budget
    _, validations = whole(course, update * budget, validation * budget)
    assert 0.95 * budget <= course.timing.elapsed <= 1.05 * budget
    assert validations == 1 or validations * 0.9 * validation <= 0.1


@settings(max_examples=40)
@given(epochs=st.integers(1, 80), updates=st.integers(1, 8), update=st.floats(0.3, 5), cost=st.floats(0.1, 500))
def test_validations_take_a_tenth_of_the_time_at_most(epochs: int, updates: int, update: float, cost: float) -> None:
    course = schedule(updates, cost, epochs=epochs)
    made, validations = whole(course, update, cost)
    assert made == epochs * updates
    assert validations == 1 or validations * cost <= 0.101 * course.timing.elapsed


def test_the_number_of_epochs_between_validations_is_chosen_once() -> None:
    course = schedule(3, 9.0, epochs=1000)
    train(course, 1.0, 20)
    assert course.validate_every is None and not course.validates_after(6), "nineteen updates are known"
    train(course, 1.0, 1)
    assert course.validate_every == 31, "a validation every 90 seconds, and whole epochs"
    train(course, 50.0, 30)
    assert course.validate_every == course.timing.validate_every == 31
    assert not course.validates_after(32) and course.validates_after(62) and course.validates_after(1000)


def test_given_numbers_of_epochs_are_kept_to() -> None:
    course = schedule(3, 900.0, epochs=7, validate_every=3)
    assert [epoch for epoch in range(1, 8) if course.validates_after(epoch)] == [3, 6, 7]
    every = schedule(3, 900.0, recipe="sagemaker", epochs=7)
    assert all(every.validates_after(epoch) for epoch in range(1, 8))


def test_the_first_validation_of_a_stream_comes_after_the_first_pass() -> None:
    course = schedule(3, epochs=1000)
    assert course.validates_after(1)
    course.timing.validation = 1.0
    assert not course.validates_after(2)


def test_slow_updates_are_measured_within_a_minute() -> None:
    course = schedule(epochs=2)
    train(course, 8.0, 6)
    assert not course.is_measured
    train(course, 8.0, 1)
    assert course.is_measured and course.seconds_per_update == 8.0


def test_the_first_update_does_not_count_for_the_speed() -> None:
    course = schedule(epochs=3)
    train(course, 100.0, 1)
    assert course.seconds_per_update is None and course.seconds_left is None
    train(course, 2.0, 4)
    course.timing.validation = 7.0
    assert course.seconds_per_update == 2.0
    assert course.estimate == (30, 30 * 2.0 + 7.0) and course.seconds_left == 25 * 2.0 + 7.0
    assert course.share == 5 / 30 and course.expected_updates == 30


def test_the_learning_rate_follows_the_share_of_time() -> None:
    course = schedule(10, 8.0, minutes=20, lr_scheduler="cosine", warmup=0.1)
    course.timing.elapsed = 179.0
    course.begin_epoch()
    assert course.last_update_by == 1179 and course.share == 0.0
    assert course.learning_rate(0) == pytest.approx(0.1 / 100), "the first update of perhaps a hundred of warming up"
    for elapsed, lr in ((229.0, 0.05), (279.0, 0.1), (729.0, 0.05), (1179.0, 0.0)):
        course.timing.elapsed = elapsed
        assert course.learning_rate(10**9) == pytest.approx(lr, abs=1e-6)
    assert course.ends_after(1) and course.seconds_left == 21.0


def test_what_follows_the_last_validation_has_its_time_if_that_is_short() -> None:
    assert schedule(10, 60.0, 2, minutes=20).last_update_by == 1187 - 3 * 60
    assert schedule(10, 61.0, 2, minutes=20).last_update_by == 1187 - 61
    assert schedule(10, minutes=20).last_update_by == 1187 - 120, "of a stream nothing is known"


def test_seconds_are_kept_for_what_follows_but_no_more_than_three_validations_take() -> None:
    given = Hyperparameters.model_validate({"minutes": 20})
    for validation, kept in ((3.0, 9.0), (60.0, 12.0)):
        course = Schedule(given, Timing(validation=validation), 10, seconds_after=12.0)
        assert course.last_update_by == pytest.approx(1187 - validation - kept)
