"""The model of a training that was stopped before it has written one: what its newest checkpoint holds, or else the
weights that it starts from.

Knows the arguments of `run.train`, and reads no picture. Refuses to know why it was stopped.
"""

import logging
from pathlib import Path

import torch

from segwright.bundle import BundleWriter, Description, describe_classes, host_copy, read_description, versions
from segwright.checks.classes import settle_classes
from segwright.data.channels import Channels
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import numbered_names
from segwright.networks import SegmentationNetwork
from segwright.palettes import default_palette
from segwright.training.checkpoint_state import is_of_job, weights_in
from segwright.training.checkpoints import CheckpointFolder
from segwright.training.description import check_network_unchanged, description_in, former_of
from segwright.training.initialization import ImageSpec, check_same_network, follow, start_network

logger = logging.getLogger(__name__)


def write_fallback(
    channels: Channels,
    output: Path,
    settings: Hyperparameters,
    start: Path | None,
    checkpoints: Path | None,
    job: str | None = None,
) -> None:
    """Fill `output` with a bundle; say why there is none where nothing can be the model.

    A checkpoint of another job than `job` is not used, since its data were not compared with those of this one.
    Raises UserError for a checkpoint of another version or of another network, and for a model that cannot be written.
    """
    writer = BundleWriter(output, overwrite=False, goes_on=True)
    checkpoint = CheckpointFolder(checkpoints).newest() if checkpoints else None
    own = None if checkpoint is None else is_of_job(checkpoint, job)
    if checkpoint is not None and own is False:
        logger.warning(
            f"the newest checkpoint is of another job ({checkpoint.facts['job']}): whether that had the same data was "
            "not seen before the stop, so its model is not taken"
        )
    elif checkpoint is not None:
        check_network_unchanged(checkpoint, settings)
        last, best = weights_in(checkpoint)
        writer.save(description_in(checkpoint), last=last, best=best or last, records=checkpoint.facts["records"])
        unseen = "" if own else "; whether that is of the same data was not seen before the stop"
        logger.warning(f"stopped before a model was written: {output} holds that of the newest checkpoint{unseen}")
        return
    try:
        description, network = _start(channels, settings, start)
    except UserError as error:
        logger.warning(f"stopped before a model was written, and there is none: {error}")
        return
    state = host_copy(network)
    writer.save(description, last=state, best=state, records=[])
    logger.warning(f"stopped before a model was written: {output} holds the weights that training starts from")


def _start(
    channels: Channels, settings: Hyperparameters, start: Path | None
) -> tuple[Description, SegmentationNetwork]:
    """The model before its training, as far as it is known before the data are seen."""
    former = former_of(read_description(start)) if start else None
    if former:
        settings = follow(settings, former.network)
        check_same_network(settings, former.network)
    classes = settle_classes(channels, settings.num_classes, usual_names=former.class_names if former else None)
    if classes.count is None:
        raise UserError("nothing but the masks says how many classes there are")
    names = classes.names or numbered_names(classes.count)
    images = ImageSpec(settings.bands or 3, upright=settings.apply_exif_orientation)
    torch.manual_seed(settings.seed)
    network = start_network(settings, names, images, start, former, blank=False)
    description = Description(
        network=network.spec,
        classes=describe_classes(names, default_palette(len(names))),
        label_maps={"train": classes.train_map.to_json(), "validation": classes.validation_map.to_json()},
        hyperparameters=settings.model_dump(mode="json"),
        data={"train": {}, "validation": {}},
        metrics={"best": None, "last": None},
        versions=versions(),
        started_from=str(start) if start else None,
    )
    return description, network
