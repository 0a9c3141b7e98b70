"""The model of a training that was stopped before it has written one: that of its newest checkpoint, or else the
weights that it starts from. No image is read.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from segwright.bundle import BundleWriter, Description, describe, host_copy, read_description
from segwright.checks.classes import settle_classes
from segwright.data.channels import Channels
from segwright.errors import UserError
from segwright.formats.pixels import PixelFormat
from segwright.hyperparameters import Hyperparameters
from segwright.labels import numbered_names
from segwright.networks import SegmentationNetwork
from segwright.training.checkpoint_state import weights_in
from segwright.training.checkpoints import CheckpointFolder
from segwright.training.initialization import check_same_network, inherit_settings, network_spec, start_network

logger = logging.getLogger(__name__)


def write_fallback(
    channels: Channels,
    output: Path,
    settings: Hyperparameters,
    start: Path | None,
    checkpoints: Path | None,
    job: str | None = None,
) -> None:
    """Fill `output` with a bundle; log why there is none where nothing can be the model.

    A checkpoint of another job than `job` is not used, since its data were not compared with those of this one.
    Raises UserError for a checkpoint of another version or of another network, and for a model that cannot be written.
    """
    writer = BundleWriter(output, overwrite=False, resuming=True)
    stopped = "stopped before a model was written"
    if checkpoint := CheckpointFolder(checkpoints).newest() if checkpoints else None:
        own = checkpoint.is_of_job(job)
        if own is not False:
            checkpoint.check_resumable(settings)
            last, best = weights_in(checkpoint)
            writer.save(checkpoint.description, last=last, best=best or last, records=checkpoint.facts["records"])
            unseen = "" if own else "; whether that has the same data was not checked before the stop"
            logger.warning(f"{stopped}: {output} holds that of the newest checkpoint{unseen}")
            return
        logger.warning(
            f"the newest checkpoint is of another job ({checkpoint.facts['job']}): whether that had the same data was "
            "not checked before the stop, so its model is not taken"
        )
    try:
        description, network = _start(channels, settings, start)
    except UserError as error:
        logger.warning(f"{stopped}, and there is none: {error}")
        return
    state = host_copy(network)
    writer.save(description, last=state, best=state, records=[])
    logger.warning(f"{stopped}: {output} holds the weights that training starts from")


def _start(
    channels: Channels, settings: Hyperparameters, start: Path | None
) -> tuple[Description, SegmentationNetwork]:
    """The model before its training, as far as it is known before the data are read."""
    parent = read_description(start) if start else None
    form = PixelFormat(settings.bands or 3, exif_transposed=settings.apply_exif_orientation)
    if parent:
        settings, form = inherit_settings(settings, parent.network), parent.network.pixel_format
        check_same_network(settings, parent.network)
    classes = settle_classes(channels, settings.num_classes, usual_names=parent.class_names if parent else None)
    if classes.count is None:
        raise UserError("nothing but the masks says how many classes there are")
    names = classes.names or numbered_names(classes.count)
    torch.manual_seed(settings.seed)
    spec = network_spec(settings, classes.count, form, parent.network if parent else None)
    network = start_network(spec, settings, names, start, blank=False)
    maps = (classes.train_map, classes.validation_map)
    data: dict[str, Any] = {"train": {}, "validation": {}}
    return describe(network.spec, settings, names, maps, data=data, started_from=start), network
