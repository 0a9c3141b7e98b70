"""The order of samples in an epoch, and which process takes which."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import Sampler

PairType = TypeVar("PairType")


@dataclass(frozen=True)
class SampleIndex(Generic[PairType]):
    """One sample of one pair."""

    epoch: int
    number: int  # the pair's number in its channel; with the epoch it decides about all that is random in the sample
    pair: PairType
    counted: bool = True  # False for a padding sample that keeps a process without a pair in step: all is ignore


def share_of(batch: Sequence[SampleIndex[PairType]], rank: int, world_size: int) -> list[SampleIndex[PairType]]:
    """The part of a global batch that one process takes; a padding sample where there is none for it."""
    return list(batch[rank::world_size]) or [replace(batch[0], counted=False)]


class EpochSampler(Sampler[list[SampleIndex[PairType]]]):
    """The order of an epoch, cut into global batches, of which this process takes its share.

    Samples of all epochs stand on one line, and each pair is sampled once in a stretch of `count`. Where the last batch
    is kept, an epoch is one stretch, and its last batch may be smaller. With `rollover` every batch is full: what is
    left of a stretch begins the next epoch (MXNet's `last_batch="rollover"`). A process for which a batch holds no pair
    takes a padding sample, because all processes must take every step together.
    """

    def __init__(
        self,
        pairs: Sequence[PairType],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        rollover: bool = False,
    ) -> None:
        self.pairs, self.count, self.batch_size, self.seed = pairs, len(pairs), batch_size, seed
        self.rank, self.world_size, self.rollover = rank, world_size, rollover
        self.epoch = self.skip = 0  # `skip` batches of the epoch are done

    def __len__(self) -> int:
        return -(-self.remaining // self.batch_size)

    @property
    def remaining(self) -> int:
        """How many samples the epoch still has, over all processes."""
        return len(self._positions())

    def __iter__(self) -> Iterator[list[SampleIndex[PairType]]]:
        orders: dict[int, list[int]] = {}
        positions = self._positions()
        for first in range(0, len(positions), self.batch_size):
            batch = []
            for position in positions[first : first + self.batch_size]:
                epoch, index = divmod(position, self.count)
                if epoch not in orders:
                    orders[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.count).tolist()
                number = orders[epoch][index]
                batch.append(SampleIndex(epoch, number, self.pairs[number]))
            yield share_of(batch, self.rank, self.world_size)

    def _positions(self) -> range:
        """The part of the line of samples that the epoch still has."""
        start, stop = self.epoch * self.count, (self.epoch + 1) * self.count
        if self.rollover:
            start, stop = (position // self.batch_size * self.batch_size for position in (start, stop))
        return range(min(start + self.skip * self.batch_size, stop), stop)
