"""Batches of integer crops in the order of an epoch, made in worker processes.

All that is random about a sample is drawn from (seed, epoch, number of the pair), so that neither the number of workers
nor the number of processes changes what a network sees.
"""

import logging
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from segwright.data.crops import Augmentation, Crop, fixed_crop, random_crop
from segwright.data.pairs import Pair, read_crop
from segwright.data.photometric import jitter_light
from segwright.data.pipe_batches import BatchStream
from segwright.data.sampler import EpochSampler, SampleIndex
from segwright.distributed import ALONE, Distributed
from segwright.errors import DataError, UserError
from segwright.formats.pixels import RGB, PixelFormat, Pixels
from segwright.formats.quiet import silence_decoders
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE, LabelMap
from segwright.resources import available_cores
from segwright.storage import BytesBlob

logger = logging.getLogger(__name__)

_IN_FLIGHT: Final = 16  # objects that one worker fetches at a time
_AFTER_SIGTERM: Final = 30  # seconds until a worker that is asked to end does
_SHARED_MEMORY: Final = Path("/dev/shm")
_BATCHES_AHEAD: Final = 2  # that each worker prepares, as PyTorch has it
_BATCHES_BESIDE: Final = 2  # one in the making, one in use


class Batch(NamedTuple):
    """What one process computes of one step."""

    images: Tensor  # uint8, uint16 or float32 [B, bands, H, W], channels last in memory
    masks: Tensor  # uint8 [B, H, W], class indices, 255 = ignore
    keys: tuple[str, ...]  # which pairs these are, padding samples left out
    labelled: int  # pixels of `masks` that are not 255
    skipped: tuple[str, ...] = ()  # why pairs of a stream were skipped, a sentence each


class PairCheck(Protocol):
    """What the pairs of a stream have to be."""

    @property
    def num_classes(self) -> int:
        """How many classes there are."""

    @property
    def pixel_format(self) -> PixelFormat:
        """What images are read as."""

    def why_skipped(self, pair: Pair, label_map: LabelMap) -> str:
        """Why a pair that failed is to be skipped. Raises DataError where it is to be refused."""


def training_loader(
    pairs: Sequence[Pair],
    label_map: LabelMap,
    settings: Hyperparameters,
    pixel_format: PixelFormat = RGB,
    processes: Distributed = ALONE,
    *,
    pin_memory: bool = False,
) -> "TrainingLoader":
    """Make the loader of one process for pairs that were all checked before."""
    batch, rollover = settings.mini_batch_size, settings.last_batch == "rollover"
    sampler = EpochSampler(
        list(pairs) * settings.repeats, batch, settings.seed, processes.rank, processes.world_size, rollover
    )
    return TrainingLoader(_Crops(label_map, settings, pixel_format), sampler, processes, pin_memory)


def stream_loader(
    stream: BatchStream,
    expected: int,
    label_map: LabelMap,
    settings: Hyperparameters,
    check: PairCheck,
    processes: Distributed = ALONE,
    *,
    pin_memory: bool = False,
) -> "TrainingLoader":
    """Make the loader of one process for a stream of about `expected` pairs, which are checked where they fail."""
    sampler = StreamSampler(stream, expected, settings.mini_batch_size)
    return TrainingLoader(_Crops(label_map, settings, check.pixel_format, check), sampler, processes, pin_memory)


class StreamSampler(Sampler[list[SampleIndex[Pair]]]):
    """The shares of a stream's batches, as a loader takes them."""

    def __init__(self, stream: BatchStream, expected: int, batch_size: int) -> None:
        self._stream, self._expected, self._batch_size = stream, expected, batch_size
        self.epoch = self.skip = 0  # `skip` batches of the epoch are done

    @property
    def count(self) -> int:
        """How many pairs a pass holds: counted in the last one, else as expected."""
        return self._expected if self._stream.pairs_seen is None else self._stream.pairs_seen

    def __iter__(self) -> Iterator[list[SampleIndex[Pair]]]:
        return self._stream.batches(self.epoch, self.skip)

    @property
    def remaining(self) -> int:
        """How many samples the epoch still has, over all processes."""
        return max(self.count - self.skip * self._batch_size, 0)


class TrainingLoader:
    """Batches of one epoch after the other."""

    def __init__(
        self,
        dataset: "_Crops",
        sampler: EpochSampler[Pair] | StreamSampler,
        processes: Distributed,
        pin_memory: bool,
    ) -> None:
        settings = dataset.settings
        cores = available_cores() // processes.local_world_size or 1
        workers = _fitting_workers(min(settings.workers, cores), dataset, processes)
        self._sampler = sampler
        self.skipped: list[str] = []  # why pairs of a stream were skipped, since the caller has emptied it
        self._loader: DataLoader[Batch] = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker,
            pin_memory=pin_memory,
            # Its own, or the loader would draw from the one that dropout draws from.
            generator=torch.Generator().manual_seed(settings.seed),
        )

    @property
    def count(self) -> int:
        """How many pairs there are, as far as that is known."""
        return self._sampler.count

    def samples(self, epoch: int, skip: int = 0) -> int:
        """How many samples one epoch has after its first `skip` batches, over all processes."""
        self._sampler.epoch, self._sampler.skip = epoch, skip
        return self._sampler.remaining

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, without the first `skip`. Raises DataError when bytes became unreadable."""
        self._sampler.epoch, self._sampler.skip = epoch, skip
        for batch in self._loader:
            if isinstance(batch, UserError):
                raise batch
            self.skipped += batch.skipped
            yield batch


def _fitting_workers(workers: int, dataset: "_Crops", processes: Distributed) -> int:
    """As many workers as shared memory has room for: when it is full, one dies (SageMaker's contract, section 6.1)."""
    if not workers or not _SHARED_MEMORY.is_dir():
        return workers
    share = -(-dataset.settings.mini_batch_size // processes.world_size)
    batch = (
        share
        * dataset.settings.training_crop_size**2
        * (dataset.pixel_format.bands * dataset.pixel_format.dtype.itemsize + 1)
    )
    writable = os.access(_SHARED_MEMORY, os.W_OK)
    room = shutil.disk_usage(_SHARED_MEMORY).free // processes.local_world_size if writable else 0
    fitting = min(workers, max((room // batch - _BATCHES_BESIDE) // _BATCHES_AHEAD, 0))
    if fitting < workers:
        logger.warning(
            f"{_SHARED_MEMORY} has room for {fitting} of {workers} workers only: training will be slower. Give the "
            "container more shared memory, as docker's option shm-size with 2g does."
        )
    return fitting


class _Sample(NamedTuple):
    image: Pixels
    mask: NDArray[np.uint8]
    key: str | None  # None for a padding sample
    skipped: str = ""


class _Crops(Dataset[Any]):
    """A data set of crops; `check` judges pairs that fail and were not checked before, None where all were."""

    def __init__(
        self, label_map: LabelMap, settings: Hyperparameters, pixel_format: PixelFormat, check: PairCheck | None = None
    ) -> None:
        self.label_map, self.settings, self.pixel_format, self.check = label_map, settings, pixel_format, check
        self._augmentation = Augmentation(
            settings.scale_range,
            settings.blur,
            settings.rotation,
            mirror=settings.flips != "none",
            upside_down=settings.flips == "both",
            balanced_crops=settings.balanced_crops,
        )

    def __getitems__(self, samples: list[SampleIndex[Pair]]) -> list[_Sample | UserError]:
        """All samples of a batch; bytes that a network delivers are fetched together, a bounded number at a time."""
        if any(sample.pair.image.remote or sample.pair.mask.remote for sample in samples):
            with ThreadPoolExecutor(_IN_FLIGHT // 2) as pool:
                fetched = list(pool.map(_fetched, samples))
            return [each if isinstance(each, UserError) else self[each] for each in fetched]
        return [self[sample] for sample in samples]

    def __getitem__(self, sample: SampleIndex[Pair]) -> _Sample | UserError:
        num_classes = self.check.num_classes if self.check else None
        rng = np.random.default_rng([self.settings.seed, sample.epoch, sample.number])
        draw, padding = partial(self._draw, rng), IGNORE if self.settings.padding == "ignore" else 0
        try:
            image, mask = read_crop(
                sample.pair, self.label_map, self.pixel_format, draw, padding, num_classes=num_classes
            )
            if self.settings.photometric and self.settings.augmentation_type != "none":
                image = jitter_light(rng, image, self.settings.photometric)
        except UserError as error:
            # Raised in a worker it would come out wrapped in a traceback: it travels as a value instead.
            return self._failed(sample, error)
        if sample.counted:
            return _Sample(image, mask, sample.pair.key)
        return _Sample(image, np.full_like(mask, IGNORE), None)

    def _draw(self, rng: np.random.Generator, mask: NDArray[np.uint8]) -> Crop:
        height, width = mask.shape
        long_side, crop_size = self.settings.long_side(height, width), self.settings.training_crop_size
        if self.settings.augmentation_type == "none":
            return fixed_crop(height, width, long_side, crop_size)
        return random_crop(rng, mask, long_side, crop_size, self._augmentation)

    def _failed(self, sample: SampleIndex[Pair], error: UserError) -> _Sample | UserError:
        """A padding sample for a pair of a stream that is to be skipped, or the error that ends the training."""
        if self.check is None:
            return error
        try:
            why = self.check.why_skipped(sample.pair, self.label_map)
        except UserError as refusal:
            return refusal
        size = (self.settings.training_crop_size, self.settings.training_crop_size)
        image = np.full((*size, self.pixel_format.bands), self.pixel_format.padding, self.pixel_format.dtype)
        return _Sample(image, np.full(size, IGNORE, np.uint8), None, why if sample.counted else "")


def _fetched(sample: SampleIndex[Pair]) -> SampleIndex[Pair] | UserError:
    pair = sample.pair
    try:
        image, mask = (BytesBlob(blob.name, blob.read()) for blob in (pair.image, pair.mask))
    except DataError as error:
        return error
    return replace(sample, pair=replace(pair, image=image, mask=mask))


def _collate(samples: list[_Sample | UserError]) -> Batch | UserError:
    good = [sample for sample in samples if isinstance(sample, _Sample)]
    if errors := [sample for sample in samples if isinstance(sample, UserError)]:
        return errors[0]
    # [B, H, W, bands] seen as [B, bands, H, W]: channels last, without moving a byte.
    pixels = torch.from_numpy(np.stack([sample.image for sample in good])).permute(0, 3, 1, 2)
    masks = np.stack([sample.mask for sample in good])
    keys = tuple(sample.key for sample in good if sample.key is not None)
    labelled = int(np.count_nonzero(masks != IGNORE))  # here, in a worker: the training step must not wait for it
    skipped = tuple(sample.skipped for sample in good if sample.skipped)
    return Batch(pixels, torch.from_numpy(masks), keys, labelled, skipped)


def _start_worker(_worker: int) -> None:
    cv2.setNumThreads(0)
    silence_decoders()
    # Both signals may reach the whole process group; only the parent decides what they mean. It ends workers by
    # SIGTERM as well, if they do not end by themselves: they do, a while after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):  # not on Windows
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda _number, _frame: signal.alarm(_AFTER_SIGTERM))
