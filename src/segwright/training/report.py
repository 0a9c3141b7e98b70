"""What a training tells its reader: how it begins, advice, and one entry an epoch. Decides nothing."""

import sys
from typing import Final

from segwright.console import LOGGER
from segwright.data.preparation import PreparedData
from segwright.data.remarks import RARE
from segwright.evaluation import Scores, show
from segwright.hyperparameters import Hyperparameters
from segwright.training.epoch import EpochSums, Trainer
from segwright.training.state import Progress

FEW_UPDATES: Final = 500
"""With fewer updates than that, even from pretrained weights, thin and rare things are not learnt."""


def log_recipe(settings: Hyperparameters) -> None:
    """Name the recipe in force, and what was overridden."""
    changes = ", ".join(f"{name} {value}" for name, value in settings.changes().items())
    LOGGER.info(f"recipe {settings.recipe}" + (f", but {changes}" if changes else ""))


def log_start(trainer: Trainer, samples: int, updates_per_epoch: int) -> None:
    """Say what is trained, on what, and how long."""
    settings, spec = trainer.settings, trainer.network.spec
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    factor = settings.head_rate_factor
    heads = f", heads {factor:g} times that" if factor != 1 else ""
    crop = settings.validation_crop_size
    LOGGER.info(
        f"training {spec.algorithm} on {spec.backbone}: {parameters:,} parameters, {spec.num_classes} classes, "
        f"output stride {spec.output_stride}, crops of {settings.training_crop_size} pixels; "
        f"{trainer.device.type} x {trainer.processes.world_size}, {str(trainer.precision).removeprefix('torch.')}"
    )
    LOGGER.info(
        f"{settings.epochs} epochs of {samples} pairs in {updates_per_epoch} updates, {settings.optimizer} at "
        f"{settings.learning_rate:g} ({settings.lr_scheduler}){heads}, seed {settings.seed}; validation scores "
        + (f"crops of {crop} pixels from the centres, as the original does" if crop else "whole images")
    )


def log_advice(settings: Hyperparameters, data: PreparedData, updates_per_epoch: int) -> None:
    """Say what a careful colleague would, before time is spent: too few updates, classes too rare to be learnt."""
    updates = settings.epochs * updates_per_epoch
    if updates < FEW_UPDATES:
        epochs = -(-FEW_UPDATES // updates_per_epoch)
        LOGGER.warning(
            f"{updates} updates in all are few to learn from: a small set needs more epochs; --epochs {epochs} makes "
            f"at least {FEW_UPDATES}"
        )
    shares = data.train.histogram / max(data.train.histogram.sum(), 1)
    rare = [name for name, share in zip(data.class_names, shares, strict=True) if 0 < share * len(shares) < RARE]
    if rare and settings.class_weights == "none":
        LOGGER.warning(f"few pixels are labelled {', '.join(rare)}: --class-weights auto makes them count for more")


def log_resumption(trainer: Trainer, reached: Progress) -> None:
    """Say where a resumed training goes on."""
    if reached.finished:
        LOGGER.info(f"the training ended after epoch {reached.epoch}: nothing is left to train")
    elif trainer.updates:
        LOGGER.info(f"going on after {trainer.updates} updates, in epoch {reached.epoch + 1}")


def log_epoch(title: str, sums: EpochSums, scores: Scores, improved: bool) -> None:
    """Report one epoch: a table of classes on a terminal, one line of them elsewhere."""
    LOGGER.info(
        f"{title}: loss {sums.mean_loss:.4f}, {sums.images_per_second:.1f} images/s; validation mean IoU "
        f"{scores.mean_iou:.4f}{' (best so far)' if improved else ''}, pixel accuracy {scores.pixel_accuracy:.4f}"
    )
    if sys.stdout.isatty():
        show(scores, title)
    else:
        classes = (f"{entry.name} {entry.iou:.3f}" for entry in scores.per_class if entry.iou is not None)
        LOGGER.info(f"  IoU: {', '.join(classes)}")
