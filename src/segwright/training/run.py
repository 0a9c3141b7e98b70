"""A training from channels to a bundle: prepare, then for each epoch train, validate, save.

Knows the order of things. Refuses to know the arithmetic of a step (epoch.py) and of a score (evaluation).
"""

import time
from pathlib import Path
from typing import Any

import torch

from segwright.allocator import keep_freed_memory
from segwright.bundle import BundleWriter, ClassDescription, Description, host_copy, versions
from segwright.console import LOGGER, progress
from segwright.data.folders import Channels
from segwright.data.loading import CropSettings, TrainingLoader, training_loader
from segwright.data.preparation import PreparedData, prepare
from segwright.errors import UserError
from segwright.evaluation import Scores, count_pairs
from segwright.hyperparameters import Hyperparameters
from segwright.inference.devices import choose_device, choose_precision
from segwright.networks import NetworkSpec, build_network, check_backbone
from segwright.training.epoch import EpochFigures, StepFigures, Trainer
from segwright.training.processes import join_processes
from segwright.training.report import log_epoch, log_start
from segwright.training.stopping import EarlyStopping, Interruption, StopRequest, stop_on_interrupt


def train(
    channels: Channels,
    output: Path | str,
    hyperparameters: Hyperparameters | None = None,
    *,
    class_names: Path | str | None = None,
    device: str | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> None:
    """Train a network on the four channels and leave a bundle at `output`.

    Started by `torchrun`, all its processes train together and the first one writes. Raises a UserError for
    data, settings or an output that have to be mended, and KeyboardInterrupt after Ctrl-C, when everything learnt
    so far is saved.
    """
    settings = hyperparameters or Hyperparameters()
    keep_freed_memory()
    with join_processes() as processes:
        place = choose_device(device, processes.local_rank)
        precision = choose_precision(settings.precision_dtype, place)
        check_backbone(settings.backbone, settings.backbone_weights)
        writer = processes.first_computes(lambda: BundleWriter(Path(output), overwrite))
        data = processes.first_computes(
            lambda: prepare(
                channels,
                num_classes=settings.num_classes,
                class_names=Path(class_names) if class_names else None,
                strict=strict,
            )
        )
        settings = _counted(settings, data)
        torch.manual_seed(settings.seed)
        network = build_network(_spec(settings, data), pretrained=_pretrained(settings))
        torch.manual_seed(settings.seed + processes.rank)  # dropout must differ between processes
        trainer = Trainer(network, settings, processes, place, precision)
        with stop_on_interrupt() as stop:
            Run(trainer, data, writer if processes.first else None, stop).epochs()


class Run:
    """The epochs of one training, and what they have reached so far."""

    def __init__(self, trainer: Trainer, data: PreparedData, writer: BundleWriter | None, stop: StopRequest) -> None:
        self.trainer, self.data, self.writer, self.stop = trainer, data, writer, stop
        self.settings, self.processes = trainer.settings, trainer.processes
        self.loader = _loader(trainer, data)
        self.stopping = EarlyStopping(self.settings)
        self.best: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None

    def epochs(self) -> None:
        """Train, validate and save, epoch after epoch."""
        log_start(self.trainer, len(self.data.train.pairs), len(self.loader))
        try:
            for epoch in range(self.settings.epochs):
                start = time.monotonic()
                figures = self._train(epoch)
                scores = self._validate(epoch)
                self._keep(epoch, figures, scores, time.monotonic() - start)
                if self.stopping.ends(epoch, scores.mean_iou):
                    LOGGER.info(f"stopped early after epoch {epoch + 1}: the mean IoU no longer grows")
                    break
        except Interruption:
            self._save_interrupted()
            raise KeyboardInterrupt from None
        except torch.OutOfMemoryError as error:
            raise UserError(
                "the device has too little memory: try --accumulation 2 (or 4, 8), a smaller --crop-size, "
                f"--output-stride 16, or --precision-dtype auto ({str(error).splitlines()[0]})"
            ) from error
        if self.writer and self.best:
            LOGGER.info(
                f"best validation mean IoU {self.best['mean_iou']:.4f} in epoch {self.best['epoch']}; "
                f"the model is in {self.writer.path}"
            )

    def _train(self, epoch: int) -> EpochFigures:
        title = f"epoch {epoch + 1}/{self.settings.epochs}"
        start, images = time.monotonic(), 0
        with progress(title, len(self.data.train.pairs), self.settings.logging_frequency) as advance:

            def after_step(step: StepFigures) -> None:
                nonlocal images
                images += step.images
                speed = images / (time.monotonic() - start)
                advance(step.images, f"loss {step.loss:.4f}, rate {step.learning_rate:.6f}, {speed:.1f} images/s")
                self._check_stop()

            return self.trainer.epoch(self.loader.epoch(epoch), len(self.loader), after_step)

    def _validate(self, epoch: int) -> Scores:
        self.processes.agree(self.trainer.network)
        share = self.data.validation.pairs[self.processes.rank :: self.processes.world_size]
        with progress(f"validation {epoch + 1}", len(share)) as advance:

            def after_each() -> None:
                advance(1, "images")
                if self.processes.world_size == 1:
                    self.stop.check()

            matrix = count_pairs(self.trainer.network, share, self.data.validation_map, self.trainer.device, after_each)
        counts = torch.from_numpy(matrix.counts).to(self.trainer.device)
        matrix.counts = self.processes.sum(counts).cpu().numpy()
        self._check_stop()
        return matrix.scores(self.data.class_names)

    def _keep(self, epoch: int, figures: EpochFigures, scores: Scores, seconds: float) -> None:
        self.last = {"epoch": epoch + 1, **scores.to_json()}
        improved = self.best is None or scores.mean_iou > self.best["mean_iou"]
        if improved:
            self.best = self.last
        if self.writer:
            log_epoch(f"epoch {epoch + 1}/{self.settings.epochs}", figures, scores, improved)
            state = host_copy(self.trainer.network)
            record = {
                "epoch": epoch + 1,
                "updates": self.trainer.updates,
                **vars(figures),
                "seconds": round(seconds, 3),
                "validation": scores.to_json(),
            }
            self.writer.save(self._description(), last=state, best=state if improved else None, record=record)

    def _save_interrupted(self) -> None:
        """Keep what was learnt since the last epoch ended; the best weights stay the best ones."""
        self.last = None
        if self.writer and self.writer.keeps_older:
            LOGGER.warning(f"interrupted before the first epoch ended: {self.writer.path} keeps the model that it held")
        elif self.writer:
            state = host_copy(self.trainer.network)
            best = None if self.best else state
            self.writer.save(self._description(), last=state, best=best, record=None)
            kind = "its best epoch's weights" if self.best else "the weights as they are, not validated"
            LOGGER.warning(f"interrupted: {self.writer.path} holds a usable model ({kind})")

    def _check_stop(self) -> None:
        flag = torch.tensor(int(self.stop.made), device=self.trainer.device)
        if self.processes.sum(flag).item():  # Never the other way round: a request may come in meanwhile.
            self.stop.made = True
        self.stop.check()

    def _description(self) -> Description:
        data = self.data
        return Description(
            network=self.trainer.network.spec,
            classes=tuple(
                ClassDescription(index=index, name=name, colour=(int(red), int(green), int(blue)))
                for index, (name, (red, green, blue)) in enumerate(zip(data.class_names, data.palette, strict=True))
            ),
            label_maps={"train": data.train_map.to_json(), "validation": data.validation_map.to_json()},
            hyperparameters=self.settings.model_dump(mode="json"),
            data=data.to_json(),
            metrics={"best": self.best, "last": self.last},
            versions=versions(),
        )


def _counted(settings: Hyperparameters, data: PreparedData) -> Hyperparameters:
    """Fill in what the data say: the number of classes and the true number of samples."""
    samples = len(data.train.pairs)
    if settings.num_training_samples not in (None, samples):
        LOGGER.warning(
            f"num_training_samples is {settings.num_training_samples}, but there are {samples} training pairs: "
            f"the schedule follows the {samples}"
        )
    return settings.model_copy(update={"num_classes": data.num_classes, "num_training_samples": samples})


def _spec(settings: Hyperparameters, data: PreparedData) -> NetworkSpec:
    return NetworkSpec(
        algorithm=settings.algorithm,
        backbone=settings.backbone,
        num_classes=data.num_classes,
        output_stride=settings.output_stride,
        auxiliary=settings.aux_loss,
    )


def _pretrained(settings: Hyperparameters) -> bool | Path:
    return settings.backbone_weights or settings.use_pretrained_model


def _loader(trainer: Trainer, data: PreparedData) -> TrainingLoader:
    settings, processes = trainer.settings, trainer.processes
    crops = CropSettings(settings.base_size, settings.training_crop_size, settings.augmentation_type == "default")
    return training_loader(
        data.train.pairs,
        data.train_map,
        crops,
        batch_size=settings.mini_batch_size,
        seed=settings.seed,
        workers=settings.workers,
        rank=processes.rank,
        world_size=processes.world_size,
        pin_memory=trainer.device.type == "cuda",
    )
