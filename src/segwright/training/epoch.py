"""One epoch in plain sight: batches in, updates done, figures out.

Knows the arithmetic of a step. Refuses to know files, validation and what is saved.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from segwright.console import LOGGER
from segwright.data.loading import Batch
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.networks import SegmentationNetwork
from segwright.training.loss import SummedLoss
from segwright.training.optimizers import make_optimizer, set_rate
from segwright.training.processes import Processes
from segwright.training.schedules import learning_rate


@dataclass(frozen=True)
class StepFigures:
    """What one update reports."""

    loss: float
    """Mean over the labelled pixels of the global batch, the auxiliary term included."""
    learning_rate: float
    pixels: int
    """Labelled pixels in the global batch."""
    images: int
    """Pictures in the global batch."""


@dataclass(frozen=True)
class EpochFigures:
    """What one epoch reports."""

    train_loss: float
    learning_rate: float
    images_per_second: float


class Trainer:
    """A network with all that an update changes: weights, optimizer, loss scale, number of updates."""

    def __init__(
        self,
        network: SegmentationNetwork,
        settings: Hyperparameters,
        processes: Processes,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        if settings.syncbn:
            _synchronise(network, processes, device, settings.accumulation)
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.processes = settings, processes
        self.device, self.precision = device, precision
        self.optimizer = make_optimizer(self.network, settings)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.updates = 0
        self._loss = processes.averaging(SummedLoss(self.network, settings.aux_weight), device)

    def epoch(
        self, batches: Iterable[Batch], updates_per_epoch: int, after_step: Callable[[StepFigures], None]
    ) -> EpochFigures:
        """Make one update a batch. Raises UserError when the loss is no longer a number."""
        self.network.train()
        start, rate, total, pixels, images = time.monotonic(), 0.0, 0.0, 0, 0
        for batch in batches:
            rate = learning_rate(self.settings, self.updates, updates_per_epoch)
            figures = self._step(batch, rate)
            total, pixels = total + figures.loss * figures.pixels, pixels + figures.pixels
            images += figures.images
            after_step(figures)
        return EpochFigures(total / max(pixels, 1), rate, images / (time.monotonic() - start))

    def _step(self, batch: Batch, rate: float) -> StepFigures:
        images = batch.images.to(self.device, non_blocking=True)
        masks = batch.masks.to(self.device, non_blocking=True).long()
        pixels, pictures = self._count(masks, len(batch.keys))
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        mean = float(self.processes.sum(self._add_gradients(images, masks, max(pixels, 1))))
        self._refuse_divergence(mean, batch, rate)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.updates += 1
        return StepFigures(mean, rate, pixels, pictures)

    def _add_gradients(self, images: Tensor, masks: Tensor, pixels: int) -> Tensor:
        """Add up the gradients of all parts of this process's share; return its part of the mean loss."""
        total = torch.zeros((), device=self.device)
        parts = list(
            zip(images.chunk(self.settings.accumulation), masks.chunk(self.settings.accumulation), strict=True)
        )
        for number, (part, labels) in enumerate(parts, start=1):
            with self.processes.exchange(self._loss, last=number == len(parts)):
                with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                    loss = self._loss(part, labels) / pixels
                # Gradients are averaged over processes, but the loss is already divided by all of their pixels.
                self.scaler.scale(loss * self.processes.world_size).backward()
            total += loss.detach()
        return total

    def _count(self, masks: Tensor, pictures: int) -> tuple[int, int]:
        """Count the labelled pixels and the pictures of the global batch."""
        labelled = (masks != IGNORE).flatten(1).sum(1)
        counts = torch.stack([labelled.sum(), torch.tensor(pictures, device=masks.device)])
        pixels, all_pictures = self.processes.sum(counts).tolist()
        return pixels, all_pictures

    def _refuse_divergence(self, loss: float, batch: Batch, rate: float) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} at update {self.updates + 1} (learning rate {rate:.6g}; pictures "
                f"{', '.join(batch.keys)}): lower --learning-rate (a tenth is a good try), "
                "or use --precision-dtype float32"
            )


def _synchronise(network: SegmentationNetwork, processes: Processes, device: torch.device, accumulation: int) -> None:
    """Share batch statistics between processes, where there are several and PyTorch can do it."""
    if device.type == "cuda" and processes.world_size > 1:
        if accumulation > 1:
            raise UserError(
                "--syncbn and --accumulation do not go together: processes may hold different numbers of parts"
            )
        network.synchronise_batch_norms()
    elif processes.first:
        LOGGER.info("syncbn has no effect here: it takes several processes on GPUs")
