"""The updates of an epoch: forward, backward, optimizer, and the figures that are logged."""

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segwright.data.loader import Batch
from segwright.distributed import Distributed
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.networks import SegmentationNetwork
from segwright.training.loss import LossModule, LossScale, loss_scale
from segwright.training.optimizers import make_optimizer, set_lr

logger = logging.getLogger(__name__)


@dataclass
class EpochSums:
    """Sums over the updates of an epoch so far; a checkpoint holds all fields."""

    batches: int = 0
    images: int = 0
    pixels: int = 0  # what the loss is summed over
    loss: float = 0.0
    learning_rate: float = 0.0  # of the last update
    seconds: float = 0.0

    latest_loss = math.nan  # of the last update whose loss was read; no field, so not in checkpoints

    @property
    def images_per_second(self) -> float:
        """The speed of training so far."""
        return self.images / max(self.seconds, 1e-9)

    @property
    def mean_loss(self) -> float:
        """The mean loss over all pixels so far."""
        return self.loss / max(self.pixels, 1)

    def to_json(self) -> dict[str, Any]:
        """What the line of an epoch in `metrics.jsonl` says of its updates."""
        return {
            "images": self.images,
            "train_loss": self.mean_loss,
            "learning_rate": self.learning_rate,
            "images_per_second": self.images_per_second,
        }


@dataclass(frozen=True)
class _UnreadLoss:
    loss: Tensor  # this process's part of the mean loss of an update, still on the device
    update: int
    learning_rate: float
    pixels: int
    keys: tuple[str, ...]


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
        if settings.syncbn and device.type == "cuda" and processes.world_size > 1:
            if settings.accumulation > 1:
                raise UserError("syncbn excludes accumulation: processes may hold different numbers of parts.")
            network.synchronise_batch_norms()
        elif settings.syncbn and processes.is_main:
            logger.info("syncbn has no effect here: it takes several processes on GPUs")
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.processes, self.device, self.precision = settings, processes, device, precision
        self.optimizer = make_optimizer(self.network, settings)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.updates = 0
        losses = LossModule(self.network, settings.loss, class_weights).to(device)
        self._losses = processes.wrap_ddp(losses, device)
        self._unread: list[_UnreadLoss] = []

    def train_epoch(
        self,
        batches: Iterable[Batch],
        learning_rate: Callable[[int], float],
        sums: EpochSums,
        after_step: Callable[[int], None],
    ) -> None:
        """Make one update a batch and add it to `sums`.

        `learning_rate` gets the number of the update, from 0, `after_step` the number of images of the global batch.

        Losses are read from the device every `logging_frequency` updates and at the end. Raises UserError when one is
        not finite, and in all processes when a batch cannot be loaded in one.
        """
        self.network.train()
        iterator = iter(batches)
        before, steps = time.monotonic(), 0
        while True:
            with self.processes.raise_on_all():
                batch = next(iterator, None)
            if batch is None:
                break
            images = self._update(batch, learning_rate(self.updates), sums)
            steps += 1
            if steps % self.settings.logging_frequency == 0:
                self.read_losses(sums)
            now = time.monotonic()
            sums.seconds += now - before
            before = now
            after_step(images)
        self.read_losses(sums)
        sums.seconds += time.monotonic() - before

    def train_step(self, batch: Batch, scale: LossScale, lr: float) -> Tensor:
        """Make one update; return this process's part of the mean loss, float32 [], on the device.

        The host never waits for the device here (but for the gradient scaler of float16).
        """
        images = batch.images.to(self.device, non_blocking=True)
        masks = batch.masks.to(self.device, non_blocking=True).long()
        set_lr(self.optimizer, lr)
        self.optimizer.zero_grad(set_to_none=True)
        mean_loss = torch.zeros((), device=self.device)
        image_parts, mask_parts = images.chunk(self.settings.accumulation), masks.chunk(self.settings.accumulation)
        for index, (image_part, mask_part) in enumerate(zip(image_parts, mask_parts, strict=True), start=1):
            with self.processes.maybe_no_sync(self._losses, last=index == len(image_parts)):
                with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                    main, auxiliary = self._losses(image_part, mask_part)
                # DDP averages gradients over processes, but the scale already makes them add up.
                loss = (main * scale.gradient[0] + auxiliary * scale.gradient[1]) * self.processes.world_size
                self.scaler.scale(loss).backward()
            mean_loss += main.detach() * scale.figure[0] + auxiliary.detach() * scale.figure[1]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.updates += 1
        return mean_loss

    def read_losses(self, sums: EpochSums) -> None:
        """Wait for the device and add the losses since the last call to `sums`; all processes call it together.

        Raises UserError for a loss that is not finite.
        """
        unread, self._unread = self._unread, []
        losses = self.processes.sum(torch.stack([each.loss for each in unread])).tolist() if unread else []
        for loss, each in zip(losses, unread, strict=True):
            if not math.isfinite(loss):
                raise UserError(
                    f"The loss became {loss} at update {each.update} (learning rate {each.learning_rate:.6g}; images "
                    f"{', '.join(each.keys)}): lower learning_rate (a tenth is a good try), or set precision_dtype to "
                    "float32."
                )
            sums.pixels += each.pixels
            sums.loss += loss * each.pixels
            sums.latest_loss = loss

    def _update(self, batch: Batch, lr: float, sums: EpochSums) -> int:
        """Make one update and keep its loss for `read_losses`; return the number of images of the global batch."""
        own = torch.tensor([batch.labelled, len(batch.keys)])  # on the host, which needs the sums at once
        labelled, images = map(int, self.processes.sum(own).tolist())
        scale = loss_scale(self.settings, batch.labelled, labelled, images * batch.masks[0].numel())
        loss = self.train_step(batch, scale, lr)
        self._unread.append(_UnreadLoss(loss, self.updates, lr, scale.pixels, batch.keys))
        sums.batches, sums.images, sums.learning_rate = sums.batches + 1, sums.images + images, lr
        return images
