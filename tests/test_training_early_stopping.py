from segwright.hyperparameters import Hyperparameters
from segwright.training.checkpoint_state import EarlyStopping


def stopping(**values: object) -> Hyperparameters:
    return Hyperparameters.model_validate({"early_stopping": True, **values})


def epochs_until_stop(settings: Hyperparameters, scores: list[float]) -> int | None:
    counter = EarlyStopping()
    return next((epoch + 1 for epoch, score in enumerate(scores) if counter.update(settings, epoch, score)), None)


def test_stops_after_patience_epochs_without_gain() -> None:
    rule = stopping(early_stopping_min_epochs=1, early_stopping_patience=2)
    assert epochs_until_stop(rule, [0.1, 0.2, 0.2, 0.3, 0.3, 0.29, 0.4]) == 6


def test_waits_for_the_minimum_of_epochs() -> None:
    rule = stopping(early_stopping_min_epochs=5, early_stopping_patience=1)
    assert epochs_until_stop(rule, [0.5, 0.4, 0.4, 0.4, 0.4, 0.4]) == 5


def test_tolerance_is_relative_to_the_best() -> None:
    rule = stopping(early_stopping_min_epochs=1, early_stopping_patience=1, early_stopping_tolerance=0.1)
    assert epochs_until_stop(rule, [0.5, 0.56, 0.6]) == 3


def test_never_stops_when_not_asked() -> None:
    rule = Hyperparameters()
    assert epochs_until_stop(rule, [0.5] * 50) is None
