"""The scale at which a trained network predicts best: a few are scored on the validation images, from that of the
training up while scores improve, else down.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from segwright.distributed import ALONE, Distributed
from segwright.evaluation import Scores
from segwright.hyperparameter_values import LARGEST_SCALE, SMALLEST_SCALE
from segwright.training.measurements import best_effort

SMALLEST_GAIN: Final = 0.001  # of mean IoU, that makes slower prediction worth it

_LARGER: Final = (1.25, 1.5, 2.0)
_SMALLER: Final = (0.75, 0.5)


@dataclass(frozen=True)
class Trial:
    """The scores of a network at one scale, as JSON, and how long that took, if known."""

    scores: Mapping[str, Any]
    seconds: float | None

    @property
    def mean_iou(self) -> float:
        """What scales are compared by."""
        return float(self.scores["mean_iou"])


def select_scale(
    score: Callable[[float], Scores],
    base: float,
    at_base: Trial,
    *,
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    processes: Distributed = ALONE,
) -> tuple[float, Mapping[float, Trial]]:
    """Choose the smallest scale whose mean IoU is less than `SMALLEST_GAIN` below the best, and return all trials.

    `score` scores one scale, in all processes together; `base` is the training's. No trial begins that would not end by
    `deadline`, in seconds of `clock`: its time is that of the trial before, times the number of pixels. A scale
    at which scoring fails, as for want of memory, counts as none.
    """
    trials = {base: at_base}

    def in_time(scale: float) -> bool:
        if deadline is None:
            return True
        last, trial = list(trials.items())[-1]
        seconds = (trial.seconds or 0.0) * (scale / last) ** 2
        return processes.compute_on_main(lambda: clock() + seconds <= deadline)

    for factors, tolerance in ((_LARGER, 0.0), (_SMALLER, SMALLEST_GAIN)):
        for scale in (base * factor for factor in factors):
            best = max(trial.mean_iou for trial in trials.values())
            if not SMALLEST_SCALE <= scale <= LARGEST_SCALE or not in_time(scale):
                break
            start = clock()
            scores = best_effort(partial(score, scale), f"inference scale {scale:g} is not tried", processes)
            if scores is None:
                break
            trials[scale] = Trial(scores.to_json(), clock() - start)
            if trials[scale].mean_iou <= best - tolerance:
                break
        if max(trial.mean_iou for trial in trials.values()) > at_base.mean_iou:
            break
    best = max(trial.mean_iou for trial in trials.values())
    return min(scale for scale, trial in trials.items() if best - trial.mean_iou < SMALLEST_GAIN), trials


def describe_selection(chosen: float, base: float, trials: Mapping[float, Trial]) -> str:
    """What each scale scored, and what the chosen one costs, in one line."""
    others = [f"{trials[scale].mean_iou:.4f} at {scale:g}" for scale in sorted(trials) if scale not in (base, chosen)]
    more = f" ({', '.join(others)})" if others else ""
    if chosen == base:
        return f"inference scale {base:g}, as in training: mean IoU {trials[base].mean_iou:.4f}{more}"
    return (
        f"inference scale {chosen:g}: mean IoU {trials[chosen].mean_iou:.4f} against {trials[base].mean_iou:.4f} at "
        f"{base:g}{more}; prediction takes about {(chosen / base) ** 2:.1f} times as long"
    )
