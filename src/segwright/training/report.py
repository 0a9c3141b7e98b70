"""What a training tells its reader: how it begins, and one entry an epoch."""

import sys

from segwright.console import LOGGER
from segwright.evaluation import Scores, show
from segwright.training.epoch import EpochFigures, Trainer


def log_start(trainer: Trainer, samples: int, updates_per_epoch: int) -> None:
    """Say what is trained, on what, and how long."""
    settings, spec = trainer.settings, trainer.network.spec
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    heads = ", heads ten times that" if settings.use_pretrained_model else ""
    LOGGER.info(
        f"training {spec.algorithm} on {spec.backbone}: {parameters:,} parameters, {spec.num_classes} classes, "
        f"output stride {spec.output_stride}, crops of {settings.training_crop_size} pixels; "
        f"{trainer.device.type} x {trainer.processes.world_size}, {str(trainer.precision).removeprefix('torch.')}"
    )
    LOGGER.info(
        f"{settings.epochs} epochs of {samples} pairs in {updates_per_epoch} updates, {settings.optimizer} at "
        f"{settings.learning_rate:g} ({settings.lr_scheduler}){heads}, seed {settings.seed}"
    )


def log_epoch(title: str, figures: EpochFigures, scores: Scores, improved: bool) -> None:
    """Report one epoch: a table of classes on a terminal, one line of them elsewhere."""
    LOGGER.info(
        f"{title}: loss {figures.train_loss:.4f}, {figures.images_per_second:.1f} images/s; validation mean IoU "
        f"{scores.mean_iou:.4f}{' (best so far)' if improved else ''}, pixel accuracy {scores.pixel_accuracy:.4f}"
    )
    if sys.stdout.isatty():
        show(scores, title)
    else:
        classes = (f"{entry.name} {entry.iou:.3f}" for entry in scores.per_class if entry.iou is not None)
        LOGGER.info(f"  IoU: {', '.join(classes)}")
