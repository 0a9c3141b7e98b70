"""One epoch in plain sight: batches in, updates done, figures out.

Knows the arithmetic of a step. Refuses to know files, validation and what is saved.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from segwright.data.loader import Batch
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.networks import SegmentationNetwork
from segwright.training.distributed import Distributed
from segwright.training.loss import LossModule, LossScale, Pixels, loss_scale
from segwright.training.optimizers import make_optimizer, set_rate
from segwright.training.schedules import learning_rate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepFigures:
    """What one update reports."""

    loss: float
    """The mean over `pixels` of the global batch, the auxiliary term included."""
    learning_rate: float
    pixels: int
    """Pixels that the loss is the mean over."""
    images: int
    """Pictures in the global batch."""


@dataclass
class EpochSums:
    """What the steps of an epoch have added up to so far."""

    batches: int = 0
    images: int = 0
    pixels: int = 0
    loss: float = 0.0
    learning_rate: float = 0.0
    seconds: float = 0.0

    def add(self, step: StepFigures, seconds: float) -> None:
        """Add one step that took so many seconds."""
        self.batches += 1
        self.images += step.images
        self.pixels += step.pixels
        self.loss += step.loss * step.pixels
        self.learning_rate = step.learning_rate
        self.seconds += seconds

    @property
    def images_per_second(self) -> float:
        """The speed of training so far."""
        return self.images / max(self.seconds, 1e-9)

    @property
    def mean_loss(self) -> float:
        """The mean loss over all pixels so far."""
        return self.loss / max(self.pixels, 1)


class TrainState:
    """A network with all that an update changes: weights, optimizer, loss scale, number of updates."""

    def __init__(
        self,
        network: SegmentationNetwork,
        settings: Hyperparameters,
        processes: Distributed,
        device: torch.device,
        precision: torch.dtype,
        class_weights: Tensor | None = None,
    ) -> None:
        if settings.syncbn:
            _synchronise(network, processes, device, settings.accumulation)
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.processes = settings, processes
        self.device, self.precision = device, precision
        self.optimizer = make_optimizer(self.network, settings)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.updates = 0
        self._losses = processes.averaging(LossModule(self.network, class_weights).to(device), device)

    def epoch(
        self,
        batches: Iterable[Batch],
        updates_per_epoch: int,
        sums: EpochSums,
        after_step: Callable[[StepFigures], None],
    ) -> None:
        """Make one update a batch, and add it to `sums`. Raises UserError when the loss is no longer a number."""
        self.network.train()
        before = time.monotonic()
        for batch in self._together(batches):
            figures = self._step(batch, learning_rate(self.settings, self.updates, updates_per_epoch))
            now = time.monotonic()
            sums.add(figures, now - before)
            before = now
            after_step(figures)

    def _together(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches of this process; a UserError of any process ends all of them at the same step."""
        coming = iter(batches)
        while True:
            batch, failure = None, None
            try:
                batch = next(coming, None)
            except UserError as error:
                failure = error
            self.processes.fail_together(failure)
            if batch is None:
                return
            yield batch

    def _step(self, batch: Batch, rate: float) -> StepFigures:
        images = batch.images.to(self.device, non_blocking=True)
        masks = batch.masks.to(self.device, non_blocking=True).long()
        share, whole, pictures = self._count(masks, len(batch.keys))
        weighing = loss_scale(self.settings, share, whole)
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        mean = float(self.processes.sum(self._add_gradients(images, masks, weighing)))
        self._check_divergence(mean, batch, rate)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.updates += 1
        return StepFigures(mean, rate, weighing.pixels, pictures)

    def _add_gradients(self, images: Tensor, masks: Tensor, weighing: LossScale) -> Tensor:
        """Add up the gradients of all parts of this process's share; return its part of the mean loss."""
        gradient = torch.tensor(weighing.gradient, device=self.device)
        figure = torch.tensor(weighing.figure, device=self.device)
        total = torch.zeros((), device=self.device)
        parts = list(
            zip(images.chunk(self.settings.accumulation), masks.chunk(self.settings.accumulation), strict=True)
        )
        for number, (part, labels) in enumerate(parts, start=1):
            with self.processes.exchange(self._losses, last=number == len(parts)):
                with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                    losses = self._losses(part, labels)
                # Gradients are averaged over processes, but the weights already make them add up.
                self.scaler.scale((losses * gradient).sum() * self.processes.world_size).backward()
            total += (losses.detach() * figure).sum()
        return total

    def _count(self, masks: Tensor, pictures: int) -> tuple[Pixels, Pixels, int]:
        """Count the pixels of this process's share and of the global batch, and the pictures of the latter."""
        share = torch.stack([(masks != IGNORE).sum(), torch.tensor(pictures, device=masks.device)])
        labelled = int(share[0])
        all_labelled, all_pictures = self.processes.sum(share).tolist()
        height, width = masks.shape[1:]
        return (
            Pixels(labelled, pictures * height * width),
            Pixels(all_labelled, all_pictures * height * width),
            all_pictures,
        )

    def _check_divergence(self, loss: float, batch: Batch, rate: float) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} at update {self.updates + 1} (learning rate {rate:.6g}; pictures "
                f"{', '.join(batch.keys)}): lower --learning-rate (a tenth is a good try), "
                "or use --precision-dtype float32"
            )


def _synchronise(network: SegmentationNetwork, processes: Distributed, device: torch.device, accumulation: int) -> None:
    """Share batch statistics between processes, where there are several and PyTorch can do it."""
    if device.type == "cuda" and processes.world_size > 1:
        if accumulation > 1:
            raise UserError(
                "--syncbn and --accumulation do not go together: processes may hold different numbers of parts"
            )
        network.synchronise_batch_norms()
    elif processes.first:
        logger.info("syncbn has no effect here: it takes several processes on GPUs")
