"""What a training reports: log lines that are the same everywhere, and a `Reporter` for what a terminal and
SageMaker's log show in different ways.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Final

from segwright.checks.prepare import CheckedData
from segwright.console import progress as progress_bar
from segwright.evaluation import Scores, print_scores
from segwright.hyperparameters import Hyperparameters
from segwright.standard_streams import OUTPUT, output_may_fail
from segwright.training.checkpoint_state import TrainProgress
from segwright.training.train_step import EpochSums, TrainState
from segwright.wording import counted, listed

logger = logging.getLogger(__name__)

FEW_UPDATES: Final = 500  # with fewer, even from pretrained weights, thin and rare things are not learnt

AdvanceImages = Callable[[int], None]  # called with the number of images, over all processes, since the last call


@dataclass(frozen=True)
class EpochResult:
    """What an epoch has brought."""

    epoch: int  # counted from 0
    epochs: int  # how many there are to be
    sums: EpochSums
    scores: Scores
    improved: bool  # whether the validation mean IoU is the best so far
    images: int  # validation images, over all processes
    seconds: float  # of their validation


class Reporter:
    """No-op reporter, used on every rank but 0."""

    def on_train_start(self, settings: Hyperparameters, updates_per_epoch: int, progress: TrainProgress) -> None:
        """Training begins, or goes on from `progress`."""

    @contextmanager
    def training(self, epoch: int, epochs: int, samples: int, sums: EpochSums) -> Iterator[AdvanceImages]:
        """Wrap the updates of an epoch, on so many more `samples`; `sums` grows with each update."""
        yield lambda _images: None

    @contextmanager
    def validating(self, epoch: int, images: int) -> Iterator[AdvanceImages]:
        """Wrap a validation of about so many `images` (0: unknown)."""
        yield lambda _images: None

    @contextmanager
    def trying_scale(self, scale: float, images: int) -> Iterator[AdvanceImages]:
        """Wrap the scoring of so many `images` at a scale that may become that of inference."""
        yield lambda _images: None

    def on_epoch_trained(self, epoch: int, sums: EpochSums) -> None:
        """The updates of an epoch are done."""

    def on_validated(self, result: EpochResult) -> None:
        """An epoch was trained and validated."""

    def on_saved(self, result: EpochResult, model: Path) -> None:
        """The bundle at `model` holds the epoch."""

    def on_train_end(self, progress: TrainProgress, model: Path) -> None:
        """All is done; the bundle is at `model`."""


class ConsoleReporter(Reporter):
    """Bars and a table of classes on a terminal, plain lines elsewhere."""

    def __init__(self, every: int) -> None:
        """A plain line is written every so many updates."""
        self._every = every

    @contextmanager
    def training(self, epoch: int, epochs: int, samples: int, sums: EpochSums) -> Iterator[AdvanceImages]:
        """One bar, or some plain lines."""
        with progress_bar(f"epoch {epoch + 1}/{epochs}", samples, self._every) as advance:

            def after_step(images: int) -> None:
                loss = "" if math.isnan(sums.latest_loss) else f"loss {sums.latest_loss:.4f}, "
                advance(images, f"{loss}lr {sums.learning_rate:.6f}, {sums.images_per_second:.1f} images/s")

            yield after_step

    @contextmanager
    def validating(self, epoch: int, images: int) -> Iterator[AdvanceImages]:
        """One bar."""
        with progress_bar(f"validation {epoch + 1}", images) as advance:
            yield lambda scored: advance(scored, "images")

    @contextmanager
    def trying_scale(self, scale: float, images: int) -> Iterator[AdvanceImages]:
        """One bar."""
        with progress_bar(f"inference scale {scale:g}", images) as advance:
            yield lambda scored: advance(scored, "images")

    def on_validated(self, result: EpochResult) -> None:
        """A table of classes on a terminal, three lines elsewhere."""
        scores, title = result.scores, f"epoch {result.epoch + 1}/{result.epochs}"
        speed = f"{title}: loss {result.sums.mean_loss:.4f}, {result.sums.images_per_second:.1f} images/s"
        best = " (best so far)" if result.improved else ""
        if OUTPUT.isatty():
            logger.info(speed)
            with output_may_fail():
                print_scores(scores, f"{title}, validation{best}")
            return
        logger.info(
            f"{speed}; validation mean IoU {scores.mean_iou:.4f}{best}, mean Dice {scores.mean_dice:.4f}, "
            f"pixel accuracy {scores.pixel_accuracy:.4f}"
        )
        for figure, values in (
            ("IoU", [(entry.name, entry.iou) for entry in scores.per_class]),
            ("Dice", [(entry.name, entry.dice) for entry in scores.per_class]),
        ):
            logger.info(
                f"  {figure}: {', '.join(f'{name} {value:.3f}' for name, value in values if value is not None)}"
            )

    def on_train_end(self, progress: TrainProgress, model: Path) -> None:
        """The best score, and where the bundle is."""
        if progress.best:
            mean_iou, epoch = progress.best["mean_iou"], progress.best["epoch"]
            logger.info(f"best validation mean IoU {mean_iou:.4f} in epoch {epoch}; the model is in {model}")
            missed = [entry["name"] for entry in progress.best["per_class"] if entry["support"] and not entry["recall"]]
            if missed:
                logger.warning(
                    f"this model finds no pixel of {listed(missed)} in the validation masks: train longer, or set "
                    "class_weights to auto; for thin structures set decoder_output_stride to 4 or 1"
                )


def log_recipe(settings: Hyperparameters) -> None:
    """Name the recipe, and what was overridden."""
    changes = ", ".join(f"{name} {value}" for name, value in settings.changes().items())
    logger.info(f"recipe {settings.recipe}" + (f" with {changes}" if changes else ""))


def log_start(state: TrainState, progress: TrainProgress, samples: int, updates_per_epoch: int) -> None:
    """Log what is trained, on what, and how long, and where a resumed training goes on."""
    settings, spec = state.settings, state.network.spec
    parameters = sum(parameter.numel() for parameter in state.network.parameters())
    factor, crop = settings.head_rate_factor, settings.validation_crop_size
    heads = f", heads {factor:g} times that" if factor != 1 else ""
    decoder = f", refined to {spec.decoder_output_stride}" if spec.decoder_output_stride else ""
    scored = f"crops of {crop} pixels from the centres, as the original does" if crop else "whole images"
    if settings.validation_scale != 1:
        scored += f" at {settings.validation_scale:g} times their size"
    logger.info(
        f"training {spec.algorithm} on {spec.backbone}: {parameters:,} parameters, {spec.num_classes} classes, "
        f"output stride {spec.output_stride}{decoder}, crops of {settings.training_crop_size} pixels; "
        f"{state.device.type} x {state.processes.world_size}, {str(state.precision).removeprefix('torch.')}"
    )
    logger.info(
        f"{counted(settings.epochs, 'epoch')} of {counted(samples, 'pair')} in {counted(updates_per_epoch, 'update')}, "
        f"{settings.optimizer} at {settings.learning_rate:g} ({settings.lr_scheduler}){heads}, seed {settings.seed}; "
        f"validation scores {scored}"
    )
    if progress.finished:
        logger.info(f"the training ended after epoch {progress.epoch}: nothing is left to train")
    elif state.updates:
        logger.info(f"continuing after {state.updates} updates, in epoch {progress.epoch + 1}")


def log_training_advice(settings: Hyperparameters, data: CheckedData, updates_per_epoch: int) -> None:
    """Warn, before time is spent, of too few updates and of classes too rare to be learnt."""
    updates = settings.epochs * updates_per_epoch
    if updates < FEW_UPDATES:
        epochs = -(-FEW_UPDATES // updates_per_epoch)
        advice = f"small data sets need more epochs, and epochs {epochs} makes at least {FEW_UPDATES}"
        logger.warning(f"only {counted(updates, 'update')} in all: {advice}")
    rare = list(compress(data.class_names, data.train.rare_classes))
    if rare and settings.class_weights == "none" and settings.loss_of_pixels:
        logger.warning(f"few pixels are labelled {', '.join(rare)}: class_weights auto makes them count for more")
