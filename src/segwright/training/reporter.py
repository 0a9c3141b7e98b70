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
from segwright.console import share_bar
from segwright.evaluation import Scores, print_scores
from segwright.hyperparameters import Hyperparameters
from segwright.standard_streams import OUTPUT, output_may_fail
from segwright.training.checkpoint_state import TrainProgress
from segwright.training.diagnosis import validation_gaps, verdict
from segwright.training.schedule import Schedule
from segwright.training.train_step import EpochSums, TrainState
from segwright.wording import counted, duration

logger = logging.getLogger(__name__)

FEW_UPDATES: Final = 500  # with fewer, even from pretrained weights, thin and rare things are not learnt

AdvanceImages = Callable[[int], None]  # called with the number of images, over all processes, since the last call


@dataclass(frozen=True)
class EpochResult:
    """What an epoch with a validation has brought."""

    epoch: int  # counted from 0
    epochs: int | None  # how many there are to be; None where time decides
    share: float  # of the training that is done, 0 to 1
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
    def training(self, epoch: int, samples: int, sums: EpochSums, schedule: Schedule) -> Iterator[AdvanceImages]:
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
        self._every, self._updates, self._loss = every, 0, math.nan

    @contextmanager
    def training(self, epoch: int, samples: int, sums: EpochSums, schedule: Schedule) -> Iterator[AdvanceImages]:
        """A bar that shows how far the whole training is, or some plain lines."""
        title, done = _title(epoch, schedule.epochs), 0
        with share_bar(title, schedule.share) as show:

            def after_step(images: int) -> None:
                nonlocal done
                done, self._updates = done + images, self._updates + 1
                self._loss = self._loss if math.isnan(sums.latest_loss) else sums.latest_loss
                loss = "" if math.isnan(self._loss) else f"loss {self._loss:.4f}, "
                left = "" if schedule.seconds_left is None else f"{duration(schedule.seconds_left)} left, "
                text = f"{left}{loss}lr {sums.learning_rate:.6f}, {sums.images_per_second:.1f} images/s"
                if show:
                    show(schedule.share, text)
                elif self._updates % self._every == 0:
                    logger.info(f"{title}: {done}/{samples}, {text}")

            yield after_step
        self._loss = sums.latest_loss

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
        scores, title = result.scores, _title(result.epoch, result.epochs)
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
        """The best score, what is wrong with it, and where the bundle is."""
        if progress.best:
            score = f"validation mean IoU {progress.best['mean_iou']:.4f} in epoch {progress.best['epoch']}"
            wrong, cure = verdict(progress.best, progress.records)
            if wrong:
                logger.warning(f"{score}, but {wrong}: {cure}; the model is in {model}")
            else:
                logger.info(f"best {score}; the model is in {model}")


def _title(epoch: int, epochs: int | None) -> str:
    return f"epoch {epoch + 1}" + (f"/{epochs}" if epochs else "")


def log_recipe(settings: Hyperparameters) -> None:
    """Name the recipe, and what was overridden."""
    changes = ", ".join(f"{name} {value}" for name, value in settings.changes().items())
    logger.info(f"recipe {settings.recipe}" + (f" with {changes}" if changes else ""))


def log_start(state: TrainState, progress: TrainProgress, samples: int, schedule: Schedule) -> None:
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
    pairs = counted(samples // settings.repeats, "pair")
    pairs += f", each {settings.repeats} times," if settings.repeats > 1 else ""
    length = f"{settings.minutes:g} min in epochs" if settings.minutes else counted(settings.epochs, "epoch")
    logger.info(
        f"{length} of {pairs} in {counted(schedule.updates_per_epoch, 'update')}, "
        f"{settings.optimizer} at {settings.learning_rate:g} ({settings.lr_scheduler}){heads}, seed {settings.seed}; "
        f"validation scores {scored}"
    )
    if progress.finished:
        logger.info(f"the training ended after epoch {progress.epoch}: nothing is left to train")
    elif state.updates:
        logger.info(f"continuing after {state.updates} updates, in epoch {progress.epoch + 1}")


def log_training_advice(settings: Hyperparameters, data: CheckedData, schedule: Schedule) -> None:
    """Warn, before time is spent, of too little of it, of classes too rare to be learnt, of scores that say little."""
    updates, minutes, elapsed = schedule.expected_updates, settings.minutes, schedule.timing.elapsed
    if minutes and schedule.time_is_used:
        validation = duration(schedule.timing.validation)
        spent = f"{duration(elapsed)} have passed, and a validation takes about {validation}"
        logger.warning(f"minutes {minutes:g} leaves no time to train: {spent}")
    elif not minutes and updates < FEW_UPDATES:
        epochs = -(-FEW_UPDATES // schedule.updates_per_epoch)
        made = epochs * schedule.updates_per_epoch
        few = f"only {counted(round(updates), 'update')} in all, which teach little"
        logger.warning(f"{few}: epochs {epochs} makes {made}")
    rare = list(compress(data.class_names, data.train.rare_classes))
    if rare and settings.class_weights == "none" and settings.loss_of_pixels:
        logger.warning(f"few pixels are labelled {', '.join(rare)}: class_weights auto makes them count for more")
    if data.validation.complete:
        for gap in validation_gaps(len(data.validation.pairs), data.validation.histogram, data.class_names):
            logger.warning(f"validation: {gap}")


def log_estimate(settings: Hyperparameters, schedule: Schedule) -> None:
    """Log how long the training takes, or how much of it the time allows, once the speed is known."""
    (updates, seconds), pace = schedule.estimate, schedule.seconds_per_update
    if pace is None or seconds is None:
        return
    speed = f"at {1 / pace:.1f} a second" if pace < 1 else f"at {pace:.1f} s each"
    every = schedule.validate_every
    validations = f", validating every {counted(every, 'epoch')}" if every and settings.validate_every is None else ""
    made = counted(round(updates), "update")
    if schedule.budget is not None:
        logger.info(f"about {made} {speed} fit into {settings.minutes:g} min{validations}")
    else:
        bound = "at most " if settings.early_stopping else ""
        included = "included" if schedule.timing.validation else "not counted"
        logger.info(f"{bound}about {duration(seconds)} for {made} {speed}, validations {included}{validations}")
