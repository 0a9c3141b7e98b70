"""The order in which a training looks at pairs, and which process looks at which.

Knows epochs, batches and processes. Refuses to know what a pair is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import Sampler

Anything = TypeVar("Anything")


@dataclass(frozen=True)
class SampleIndex(Generic[Anything]):
    """One look at one pair."""

    epoch: int
    number: int
    """The pair's number in its channel; with the epoch it decides about all that is random in the look."""
    pair: Anything
    counted: bool = True
    """False for a stand-in that keeps a process without a pair in step: its mask is all ignore."""


def share_of(batch: Sequence[SampleIndex[Anything]], rank: int, world_size: int) -> list[SampleIndex[Anything]]:
    """The part of a global batch that one process takes; a stand-in where there is none for it."""
    return list(batch[rank::world_size]) or [replace(batch[0], counted=False)]


class EpochSampler(Sampler[list[SampleIndex[Anything]]]):
    """The order of an epoch, cut into global batches, of which this process takes its share.

    All epochs lie on one line of visits, and each pair is visited once in a line's stretch of `count`. Where the
    last batch is kept, an epoch is one stretch, and its last batch may be smaller. With `rollover` every batch is
    full: what is left of a stretch begins the next epoch (MXNet's `last_batch="rollover"`). A process for which a
    batch holds no pair visits one uncounted, because all processes must take every step together.
    """

    def __init__(
        self,
        pairs: Sequence[Anything],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        rollover: bool = False,
    ) -> None:
        self.pairs, self.count, self.batch_size, self.seed = pairs, len(pairs), batch_size, seed
        self.rank, self.world_size, self.rollover = rank, world_size, rollover
        self.epoch = 0
        self.skip = 0
        """Batches of the epoch that were worked off before."""

    def __len__(self) -> int:
        return -(-self.remaining // self.batch_size)

    @property
    def remaining(self) -> int:
        """How many visits the epoch still has, over all processes."""
        return len(self.places())

    def __iter__(self) -> Iterator[list[SampleIndex[Anything]]]:
        orders: dict[int, list[int]] = {}
        start, stop = self.places().start, self.places().stop
        for first in range(start, stop, self.batch_size):
            visits = [self._visit(place, orders) for place in range(first, min(first + self.batch_size, stop))]
            yield share_of(visits, self.rank, self.world_size)

    def places(self) -> range:
        """The part of the line of visits that the epoch still has, over all processes."""
        start, stop = self.epoch * self.count, (self.epoch + 1) * self.count
        if self.rollover:
            start, stop = (place // self.batch_size * self.batch_size for place in (start, stop))
        return range(min(start + self.skip * self.batch_size, stop), stop)

    def _visit(self, place: int, orders: dict[int, list[int]]) -> SampleIndex[Anything]:
        epoch, index = divmod(place, self.count)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.count).tolist()
        number = orders[epoch][index]
        return SampleIndex(epoch, number, self.pairs[number])
