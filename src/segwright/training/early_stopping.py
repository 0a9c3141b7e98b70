"""The reason to end a training before its last epoch that lies in its scores: no more gain."""

from collections.abc import Mapping
from typing import Any

from segwright.hyperparameters import Hyperparameters


class EarlyStopping:
    """Counts epochs without gain in mean IoU (SageMaker's contract, section 4.3)."""

    def __init__(self, settings: Hyperparameters) -> None:
        self._settings = settings
        self._best = 0.0
        self._without_gain = 0

    def state(self) -> dict[str, Any]:
        """What it has counted so far, as values that JSON can hold."""
        return {"best": self._best, "without_gain": self._without_gain}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._best, self._without_gain = state["best"], state["without_gain"]

    def ends(self, epoch: int, mean_iou: float) -> bool:
        """Say whether to stop after `epoch`, counted from 0.

        That is when, for `early_stopping_patience` epochs in a row, the score has not beaten the best by more
        than `early_stopping_tolerance` of it, and at least `early_stopping_min_epochs` epochs are done.
        """
        if mean_iou > self._best * (1 + self._settings.early_stopping_tolerance):
            self._best, self._without_gain = mean_iou, 0
        else:
            self._without_gain += 1
        return (
            self._settings.early_stopping
            and epoch + 1 >= self._settings.early_stopping_min_epochs
            and self._without_gain >= self._settings.early_stopping_patience
        )
