"""Reasons to end a training before its last epoch: no more gain, or a person's Ctrl-C."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
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

    def restore(self, state: Mapping[str, Any]) -> None:
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


class Interruption(Exception):  # noqa: N818 - a request, not an error
    """Raised between two steps after Ctrl-C, when everything is in a state worth saving."""


class StopRequest:
    """Whether a person asked to stop."""

    def __init__(self) -> None:
        self.made = False

    def check(self) -> None:
        """Raise Interruption if a stop was requested."""
        if self.made:
            raise Interruption


@contextmanager
def stop_on_interrupt() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C into a request that the loop sees between two steps; a second one stops at once."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # Python allows signal handlers in the main thread only.
        return

    def note(_signal: int, _frame: FrameType | None) -> None:
        request.made = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, before)
