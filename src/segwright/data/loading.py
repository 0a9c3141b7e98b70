"""From pairs of files to batches of integers, in the order of an epoch.

Knows files, label maps and augmentation. Refuses to know networks, losses and devices: pixels leave as uint8.
All that is random about a sample is drawn from (seed, epoch, index of the pair), so that neither the number of
workers nor the number of processes changes what a network sees.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from segwright.data.augment import apply_crop, draw_crop, still_crop
from segwright.data.folders import Pair
from segwright.data.pairs import read_pair
from segwright.errors import UserError
from segwright.labels import IGNORE, LabelMap


class Batch(NamedTuple):
    """What one process computes of one step."""

    images: Tensor
    """uint8 [B, 3, H, W], channels last in memory."""
    masks: Tensor
    """uint8 [B, H, W], class indices, 255 = ignore."""
    keys: tuple[str, ...]
    """Which pairs these are, stand-ins left out."""


class Visit(NamedTuple):
    """One look at one pair."""

    epoch: int
    pair: int
    counted: bool
    """False for a stand-in that keeps a process without a sample in step: its mask is all ignore."""


@dataclass(frozen=True)
class CropSettings:
    """How training crops are cut (SageMaker's contract, section 3.5); sizes in pixels."""

    base_size: int
    crop_size: int
    augment: bool = True
    padding: int = IGNORE
    """The class of a crop's pixels outside the picture."""


def training_loader(
    pairs: Sequence[Pair],
    label_map: LabelMap,
    crops: CropSettings,
    *,
    batch_size: int,
    seed: int,
    workers: int,
    rollover: bool = False,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> "TrainingLoader":
    """Make the loader of one process; `batch_size` counts over all `world_size` processes."""
    dataset: Dataset[Any] = _Crops(pairs, label_map, crops, seed)
    sampler = EpochSampler(len(pairs), batch_size, seed, rank, world_size, rollover)
    processes = min(workers, (os.cpu_count() or 1) // world_size or 1)
    loader: DataLoader[Batch] = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=_collate,
        num_workers=processes,
        persistent_workers=processes > 0,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
        # Its own, or the loader would draw from the one that dropout draws from.
        generator=torch.Generator().manual_seed(seed),
    )
    return TrainingLoader(loader, sampler)


class EpochSampler(Sampler[list[Visit]]):
    """The order of an epoch, cut into global batches, of which this process takes its share.

    All epochs lie on one line of visits, and each pair is visited once in a line's stretch of `count`. Where the
    last batch is kept, an epoch is one stretch, and its last batch may be smaller. With `rollover` every batch is
    full: what is left of a stretch begins the next epoch (MXNet's `last_batch="rollover"`). A process for which a
    batch holds no pair visits one uncounted, because all processes must take every step together.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1, rollover: bool = False
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.world_size, self.rollover = rank, world_size, rollover
        self.epoch = 0
        self.skip = 0
        """Batches of the epoch that were worked off before."""

    def __len__(self) -> int:
        return -(-len(self.places()) // self.batch_size)

    def __iter__(self) -> Iterator[list[Visit]]:
        orders: dict[int, list[int]] = {}
        start, stop = self.places().start, self.places().stop
        for first in range(start, stop, self.batch_size):
            visits = [self._visit(place, orders) for place in range(first, min(first + self.batch_size, stop))]
            yield visits[self.rank :: self.world_size] or [visits[0]._replace(counted=False)]

    def places(self) -> range:
        """The part of the line of visits that the epoch still has, over all processes."""
        start, stop = self.epoch * self.count, (self.epoch + 1) * self.count
        if self.rollover:
            start, stop = (place // self.batch_size * self.batch_size for place in (start, stop))
        return range(min(start + self.skip * self.batch_size, stop), stop)

    def _visit(self, place: int, orders: dict[int, list[int]]) -> Visit:
        epoch, index = divmod(place, self.count)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.count).tolist()
        return Visit(epoch, orders[epoch][index], counted=True)


class TrainingLoader:
    """Batches of one epoch after the other."""

    def __init__(self, loader: DataLoader[Batch], sampler: EpochSampler) -> None:
        self._loader, self._sampler = loader, sampler

    def visits(self, epoch: int, skip: int = 0) -> int:
        """How many pairs one epoch visits after its first `skip` batches, over all processes."""
        self._sampler.epoch, self._sampler.skip = epoch, skip
        return len(self._sampler.places())

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, without the first `skip`. Raises DataError when a file became unreadable."""
        self._sampler.epoch, self._sampler.skip = epoch, skip
        for batch in self._loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch


_Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], str | None]
"""Image, mask, and the pair's key unless it is a stand-in."""


class _Crops(Dataset[_Sample | UserError]):
    def __init__(self, pairs: Sequence[Pair], label_map: LabelMap, crops: CropSettings, seed: int) -> None:
        self.pairs, self.label_map, self.crops, self.seed = pairs, label_map, crops, seed

    def __getitem__(self, visit: Visit) -> _Sample | UserError:
        pair = self.pairs[visit.pair]
        try:
            image, mask = read_pair(pair, self.label_map)
        except UserError as error:
            # Raised in a worker it would come out wrapped in a traceback: it travels as a value instead.
            return error
        image, mask = self._cut(image, mask, visit)
        return (image, mask, pair.key) if visit.counted else (image, np.full_like(mask, IGNORE), None)

    def _cut(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], visit: Visit
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        sizes = (*mask.shape, self.crops.base_size, self.crops.crop_size)
        if self.crops.augment:
            crop = draw_crop(np.random.default_rng([self.seed, visit.epoch, visit.pair]), *sizes)
        else:
            crop = still_crop(*sizes)
        return apply_crop(crop, image, mask, self.crops.padding)


def _collate(
    samples: list[_Sample | UserError],
) -> Batch | UserError:
    failed = next((sample for sample in samples if isinstance(sample, UserError)), None)
    if failed is not None:
        return failed
    images, masks, keys = zip(*samples, strict=True)
    # [B, H, W, 3] seen as [B, 3, H, W]: channels last, without moving a byte.
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return Batch(pixels, torch.from_numpy(np.stack(masks)), tuple(key for key in keys if key is not None))


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)
    # Ctrl-C reaches the whole process group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
