"""When a training ends, after so many epochs or so many minutes, how far it is, and after which epochs it validates.

All of it follows from `Timing`, which is the same in all processes: they decide alike without asking each other.
"""

import logging
import math
from dataclasses import dataclass
from typing import Final

from segwright.hyperparameters import Hyperparameters
from segwright.training.optimizers import learning_rate, updates_per_epoch
from segwright.wording import counted

logger = logging.getLogger(__name__)

_VALIDATION_SHARE: Final = 0.1  # of the time, at most
_MARGIN: Final = 0.01  # of the budget, for what cannot be foreseen
_START_AND_EXIT: Final = 1.0  # seconds, of the process
_UPDATES_MEASURED, _SECONDS_MEASURED = 20, 20.0  # the speed is known after these
_LATEST_ESTIMATE: Final = 50.0  # seconds, after which fewer updates have to do
_FIRST_GUESS: Final = 1000  # updates that a budget may hold, before anything is known


@dataclass
class Timing:
    """Times in seconds; a checkpoint holds all fields."""

    elapsed: float = 0.0  # since the command began; in a resumed training, without the time between its processes
    first_update: float | None = None  # `elapsed` when the first update began
    validation: float = 0.0  # what one takes, with what is written after it; 0: not known yet
    validate_every: int | None = None  # epochs, where it was chosen by speed


class Schedule:
    """The course of a training; `updates` are made so far."""

    def __init__(
        self,
        settings: Hyperparameters,
        timing: Timing,
        updates_per_epoch: int,
        updates: int = 0,
        validations_after: int = 0,
        seconds_after: float = 0.0,
    ) -> None:
        """`validations_after` the last one are wanted too, if they fit into a tenth of the budget, and `seconds_after`
        that, or as many as three validations take, if that is less: two number formats and a temperature.
        """
        self.settings, self.timing, self.updates_per_epoch, self.updates = settings, timing, updates_per_epoch, updates
        self.budget = None if settings.minutes is None else 60 * settings.minutes
        """Seconds from the beginning of the command to its end; None where epochs decide."""
        self._validations_after, self._seconds_after, self._begun_at = validations_after, seconds_after, updates
        self._counted, self._seconds, self._before = 0, 0.0, math.nan

    @property
    def epochs(self) -> int | None:
        """How many epochs there are; None where time decides."""
        return self.settings.epochs if self.budget is None else None

    def follow(self, pairs: int) -> None:
        """Follow the number of pairs in a stream, which is known only when it has ended."""
        updates = updates_per_epoch(self.settings, max(pairs, self.settings.mini_batch_size))
        if updates != self.updates_per_epoch:
            logger.warning(
                f"the stream held {counted(pairs, 'pair')}, not {self.settings.num_training_samples}: the schedule "
                f"follows them from here, {counted(updates, 'update')} an epoch"
            )
            self.updates_per_epoch = updates

    def begin_epoch(self) -> None:
        """The updates of an epoch, or of the rest of one, follow."""
        self._before = self.timing.elapsed
        if self.timing.first_update is None:
            self.timing.first_update = self.timing.elapsed

    def count_update(self) -> None:
        """An update is made; the first one in a process, which is slower, does not count for the speed."""
        if self.updates > self._begun_at:
            self._seconds += self.timing.elapsed - self._before
            self._counted += 1
        self.updates += 1
        self._before = self.timing.elapsed

    @property
    def seconds_per_update(self) -> float | None:
        """The speed of training, with loading and checkpoints, but without validations; None if not known yet."""
        return self._seconds / self._counted if self._counted else None

    @property
    def is_measured(self) -> bool:
        """Whether the speed is known well enough to plan by it."""
        waited = self.timing.elapsed - (self.timing.first_update or 0.0)
        enough = self._counted >= _UPDATES_MEASURED and waited >= _SECONDS_MEASURED
        return enough or (self._counted > 0 and waited >= _LATEST_ESTIMATE)

    @property
    def last_update_by(self) -> float:
        """The value of `elapsed` by which updates have to end, so that the budget holds what follows them."""
        if self.budget is None:
            return math.inf
        one = self.timing.validation or _VALIDATION_SHARE * self.budget
        further = self._validations_after * self.timing.validation
        if further > _VALIDATION_SHARE * self.budget:
            further = 0.0
        kept = min(self._seconds_after, 3 * self.timing.validation)
        return self.budget * (1 - _MARGIN) - _START_AND_EXIT - one - further - kept

    @property
    def time_is_used(self) -> bool:
        """Whether one more update would end later than the budget allows, rather than earlier."""
        return self.timing.elapsed + (self.seconds_per_update or 0.0) / 2 >= self.last_update_by

    def ends_after(self, epoch: int) -> bool:
        """Whether `epoch`, counted from 1 and perhaps not complete, is the last one."""
        return epoch >= self.settings.epochs if self.budget is None else self.time_is_used

    @property
    def share(self) -> float:
        """The share of the training that is done, 0 to 1: of updates, or of the time for them."""
        if self.budget is None:
            return min(self.updates / self.expected_updates, 1.0)
        begun = self.timing.elapsed if self.timing.first_update is None else self.timing.first_update
        return min(max((self.timing.elapsed - begun) / max(self.last_update_by - begun, 1e-9), 0.0), 1.0)

    @property
    def expected_updates(self) -> float:
        """How many updates the whole training makes; where time decides, at the speed so far."""
        if self.budget is None:
            return self.settings.epochs * self.updates_per_epoch
        left = max(self.last_update_by - self.timing.elapsed, 0.0)
        return self.updates + left / self.seconds_per_update if self.seconds_per_update else _FIRST_GUESS

    def learning_rate(self, update: int) -> float:
        """The learning rate of an update, counted from 0; where time decides, by the share of it that is used."""
        total = None
        if self.budget is not None:
            total = update / self.share if update and self.share else _FIRST_GUESS
        return learning_rate(self.settings, update, self.updates_per_epoch, total)

    @property
    def validate_every(self) -> int | None:
        """The epochs between validations; None where speed is to decide and is not known yet.

        Chosen once: so many validations, evenly spread, as take at most a tenth of the time, one at least.
        """
        timing, speed = self.timing, self.seconds_per_update
        if self.settings.validate_every is not None:
            return self.settings.validate_every
        if timing.validate_every is None and timing.validation and speed and self.is_measured:
            updates = self.expected_updates
            most = int(_VALIDATION_SHARE * (speed * updates + timing.validation) / timing.validation)
            timing.validate_every = max(math.ceil(updates / self.updates_per_epoch / max(most, 1)), 1)
        return timing.validate_every

    def validates_after(self, epoch: int) -> bool:
        """Whether a validation follows `epoch`, counted from 1: each n-th, the last, and the first of a stream, of
        which nothing is known before. None is begun that would leave hardly any time until the last one.
        """
        if self.ends_after(epoch):
            return True
        if self.timing.elapsed + 2 * self.timing.validation >= self.last_update_by:
            return False
        every = self.validate_every
        return epoch % every == 0 if every else not self.timing.validation

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the training ends: what is left of the budget, or by speed; None if not known yet."""
        if self.budget is not None:
            return max(self.budget - self.timing.elapsed, 0.0)
        return self.seconds_for(self.expected_updates - self.updates)

    @property
    def estimate(self) -> tuple[float, float | None]:
        """How many updates this process makes, and the seconds that they take with their validations."""
        updates = self.expected_updates - self._begun_at
        return updates, self.seconds_for(updates)

    def seconds_for(self, updates: float) -> float | None:
        """Seconds that the last `updates` take with their validations; None if not known yet."""
        if self.seconds_per_update is None:
            return None
        every = self.validate_every or math.inf
        validations = max(math.ceil(updates / self.updates_per_epoch / every), 1)
        return self.seconds_per_update * updates + self.timing.validation * validations
