"""What a training tells its reader: how it begins, advice, and what happens in each epoch. Decides nothing.

Sentences that every reader gets are logged. What happens again and again goes to a `Reporter`, because a person at a
terminal and SageMaker's log want it in different words.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segwright.checks.advice import RARE
from segwright.checks.prepare import CheckedData
from segwright.console import progress
from segwright.evaluation import Scores, show
from segwright.hyperparameters import Hyperparameters
from segwright.standard_streams import OUTPUT, output_may_fail
from segwright.training.checkpoint_state import TrainProgress
from segwright.training.train_step import EpochSums, StepFigures, TrainState

logger = logging.getLogger(__name__)

FEW_UPDATES: Final = 500
"""With fewer updates than that, even from pretrained weights, thin and rare things are not learnt."""

TellStep = Callable[[StepFigures, EpochSums], None]
"""Called after each update with its figures and those of the epoch so far."""

TellImages = Callable[[int], None]
"""Called with the number of images that all processes together have scored since the last call."""


@dataclass(frozen=True)
class EpochResult:
    """What an epoch has brought."""

    epoch: int
    """Counted from 0."""
    epochs: int
    """How many there are to be."""
    sums: EpochSums
    scores: Scores
    improved: bool
    """Whether the validation mean IoU is the best so far."""
    images: int
    """Validation images, over all processes."""
    seconds: float
    """That their validation took."""


class Reporter:
    """Hears what happens in a training, and keeps it to itself: for all processes but the first one."""

    def begins(self, settings: Hyperparameters, updates_per_epoch: int, reached: TrainProgress) -> None:
        """Training is about to begin, or to go on from what is `reached`."""

    @contextmanager
    def training(self, epoch: int, epochs: int, samples: int) -> Iterator[TellStep]:
        """Wrap the updates of an epoch, which will visit so many `samples` still."""
        yield lambda _step, _sums: None

    @contextmanager
    def validating(self, epoch: int, images: int) -> Iterator[TellImages]:
        """Wrap a validation of about so many `images` (0: unknown)."""
        yield lambda _images: None

    def trained(self, epoch: int, sums: EpochSums) -> None:
        """The updates of an epoch are done."""

    def validated(self, result: EpochResult) -> None:
        """An epoch was trained and validated."""

    def kept(self, result: EpochResult, model: Path) -> None:
        """What an epoch has brought is on the disk, in the bundle at `model`."""

    def ends(self, reached: TrainProgress, model: Path) -> None:
        """All is done; the bundle is at `model`."""


class ConsoleReporter(Reporter):
    """Tells people: bars and a table of classes on a terminal, plain lines elsewhere."""

    def __init__(self, every: int) -> None:
        """`every` so many batches a plain line says how far the epoch is."""
        self._every = every

    @contextmanager
    def training(self, epoch: int, epochs: int, samples: int) -> Iterator[TellStep]:
        """One bar, or some plain lines."""
        with progress(f"epoch {epoch + 1}/{epochs}", samples, self._every) as advance:
            yield lambda step, sums: advance(
                step.images,
                f"loss {step.loss:.4f}, rate {step.learning_rate:.6f}, {sums.images_per_second:.1f} images/s",
            )

    @contextmanager
    def validating(self, epoch: int, images: int) -> Iterator[TellImages]:
        """One bar."""
        with progress(f"validation {epoch + 1}", images) as advance:
            yield lambda done: advance(done, "images")

    def validated(self, result: EpochResult) -> None:
        """A table of classes on a terminal, two lines elsewhere."""
        scores, title = result.scores, f"epoch {result.epoch + 1}/{result.epochs}"
        speed = f"{title}: loss {result.sums.mean_loss:.4f}, {result.sums.images_per_second:.1f} images/s"
        best = " (best so far)" if result.improved else ""
        if OUTPUT.isatty():
            logger.info(speed)
            with output_may_fail():
                show(scores, f"{title}, validation{best}")
            return
        logger.info(
            f"{speed}; validation mean IoU {scores.mean_iou:.4f}{best}, pixel accuracy {scores.pixel_accuracy:.4f}"
        )
        classes = (f"{entry.name} {entry.iou:.3f}" for entry in scores.per_class if entry.iou is not None)
        logger.info(f"  IoU: {', '.join(classes)}")

    def ends(self, reached: TrainProgress, model: Path) -> None:
        """What has come out, and where it is."""
        if reached.best:
            mean_iou, epoch = reached.best["mean_iou"], reached.best["epoch"]
            logger.info(f"best validation mean IoU {mean_iou:.4f} in epoch {epoch}; the model is in {model}")


def log_recipe(settings: Hyperparameters) -> None:
    """Name the recipe in force, and what was overridden."""
    changes = ", ".join(f"{name} {value}" for name, value in settings.changes().items())
    logger.info(f"recipe {settings.recipe}" + (f", but {changes}" if changes else ""))


def log_start(trainer: TrainState, samples: int, updates_per_epoch: int) -> None:
    """Say what is trained, on what, and how long."""
    settings, spec = trainer.settings, trainer.network.spec
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    factor = settings.head_rate_factor
    heads = f", heads {factor:g} times that" if factor != 1 else ""
    crop = settings.validation_crop_size
    decoder = f", refined to {spec.decoder_output_stride}" if spec.decoder_output_stride else ""
    logger.info(
        f"training {spec.algorithm} on {spec.backbone}: {parameters:,} parameters, {spec.num_classes} classes, "
        f"output stride {spec.output_stride}{decoder}, crops of {settings.training_crop_size} pixels; "
        f"{trainer.device.type} x {trainer.processes.world_size}, {str(trainer.precision).removeprefix('torch.')}"
    )
    logger.info(
        f"{settings.epochs} epochs of {samples} pairs in {updates_per_epoch} updates, {settings.optimizer} at "
        f"{settings.learning_rate:g} ({settings.lr_scheduler}){heads}, seed {settings.seed}; validation scores "
        + (f"crops of {crop} pixels from the centres, as the original does" if crop else "whole images")
    )


def log_advice(settings: Hyperparameters, data: CheckedData, updates_per_epoch: int) -> None:
    """Say what a careful colleague would, before time is spent: too few updates, classes too rare to be learnt."""
    updates = settings.epochs * updates_per_epoch
    if updates < FEW_UPDATES:
        epochs = -(-FEW_UPDATES // updates_per_epoch)
        logger.warning(
            f"{updates} updates in all are few to learn from: a small set needs more epochs; --epochs {epochs} makes "
            f"at least {FEW_UPDATES}"
        )
    shares = data.train.histogram / max(data.train.histogram.sum(), 1)
    rare = [name for name, share in zip(data.class_names, shares, strict=True) if 0 < share * len(shares) < RARE]
    if rare and settings.class_weights == "none":
        logger.warning(f"few pixels are labelled {', '.join(rare)}: --class-weights auto makes them count for more")


def log_resumption(trainer: TrainState, reached: TrainProgress) -> None:
    """Say where a resumed training goes on."""
    if reached.finished:
        logger.info(f"the training ended after epoch {reached.epoch}: nothing is left to train")
    elif trainer.updates:
        logger.info(f"going on after {trainer.updates} updates, in epoch {reached.epoch + 1}")
