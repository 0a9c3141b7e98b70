"""The learning rate as a function of the updates made so far.

Knows closed forms only (SageMaker's contract, section 3.3); n counts updates, N is their number in the run.
"""

import math
from typing import Final

from segwright.hyperparameters import Hyperparameters

_POLY_POWER: Final = 0.9


def learning_rate(settings: Hyperparameters, update: int, updates_per_epoch: int) -> float:
    """Return the rate for update n = `update`, counted from 0.

    First, for `warmup` of all N updates, base (n + 1) / W with W = warmup N. Then, with d = (n - W) / (N - W):
    poly: base (1 - d)^0.9; cosine: base (1 + cos(pi d)) / 2; step: base times `lr_scheduler_factor` at each listed
    epoch, counted from 0. Past the end poly and cosine stay at 0.
    """
    total = settings.epochs * updates_per_epoch
    warm = settings.warmup * total
    if update < warm:
        return settings.learning_rate * min((update + 1) / warm, 1.0)
    done = min((update - warm) / (total - warm), 1.0)
    match settings.lr_scheduler:
        case "poly":
            return settings.learning_rate * float((1 - done) ** _POLY_POWER)
        case "cosine":
            return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
        case "step":
            epoch = update // updates_per_epoch
            passed = sum(epoch >= step for step in settings.lr_scheduler_step or ())
            return float(settings.learning_rate * settings.lr_scheduler_factor**passed)


def updates_per_epoch(settings: Hyperparameters, samples: int) -> int:
    """Return the updates that an epoch of `samples` pairs has in the formula of the schedule.

    The true number where the last batch is kept. Where it rolls over, floor(samples / batch), as SageMaker's
    algorithm prints it; the true number is on average a little more. A batch is no larger than the samples.
    """
    if settings.last_batch == "rollover":
        return samples // settings.mini_batch_size
    return -(-samples // settings.mini_batch_size)
