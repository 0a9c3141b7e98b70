"""What measurements at the end of a training share: their images, their time, and that none can undo the training."""

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from segwright.data.pairs import Pair
from segwright.distributed import Distributed
from segwright.hyperparameters import Hyperparameters
from segwright.stopping import StopRequested
from segwright.training.data_loaders import TrainingData
from segwright.wording import counted

FEWEST_IMAGES: Final = 5  # with fewer, chance would choose

_MOST_IMAGES: Final = 50

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimeLimit:
    """How many `seconds` of `clock` a measurement may take; `check_stop` raises StopRequested, in one process."""

    seconds: float
    clock: Callable[[], float]
    check_stop: Callable[[], None]

    def take(self, items: Iterable[T]) -> Iterator[T]:
        """The first items, one at least, until the time is used or a stop is requested. Then all processes stop
        together, later: the others may be waiting there already.
        """
        begun = self.clock()
        with suppress(StopRequested):
            for item in items:
                yield item
                self.check_stop()
                if self.clock() - begun > self.seconds:
                    return


def why_not_measured(settings: Hyperparameters, images: int | None) -> str | None:
    """Why nothing is measured on so many validation images (None: a stream), or None."""
    if images is None:
        return "a stream is not read once more"
    if crop := settings.validation_crop_size:
        return f"validation scores crops of {crop} pixels, not whole images"
    return f"there are only {counted(images, 'validation image')}" if images < FEWEST_IMAGES else None


def drawn_pairs(data: TrainingData) -> Sequence[Pair]:
    """The share of this process of up to 50 validation pairs, drawn at random."""
    pairs, count, _ = data.validation_pairs(0)
    return random.Random(0).sample(list(pairs), min(count, -(-_MOST_IMAGES // data.processes.world_size)))


def best_effort(measure: Callable[[], T], left_out: str, processes: Distributed) -> T | None:
    """What `measure` returns, in all processes together. Where it fails, one line says what is `left_out`, and why.

    It has to fail in all together, as `Distributed.raise_on_all` does. Raises StopRequested.
    """
    reason = ""
    try:
        return measure()
    except StopRequested:
        raise
    except SystemExit:  # Another process failed, and gives the reason.
        pass
    except Exception as error:
        lines = str(error).splitlines()
        reason = f"{type(error).__name__}{f': {lines[0]}' if lines else ''}"
    reasons = filter(None, processes.gather(reason))
    logger.warning(f"{left_out}, but the model is whole: {next(reasons)}")
    return None
