"""The model of a training that was stopped before it has written one: that of its newest checkpoint, or else the
weights that it starts from. No image is read.
"""

import logging
from typing import Any

from segwright.bundle import BundleWriter, Description, describe, host_copy
from segwright.errors import UserError
from segwright.formats.pixels import PixelFormat
from segwright.labels import numbered_names
from segwright.networks import SegmentationNetwork
from segwright.training.checkpoint_state import weights_in
from segwright.training.initialization import start_network
from segwright.training.run import Training

logger = logging.getLogger(__name__)


def write_fallback(training: Training) -> None:
    """Fill the output of a training with a bundle; log why there is none where nothing can be the model.

    A checkpoint of another job is not used, since its data were not compared with those of this one. Raises UserError
    for a checkpoint of another version or of another network, and for a model that cannot be written.
    """
    output, policy = training.output, training.checkpoints
    writer, folder = BundleWriter(output, overwrite=False, resuming=True), policy.folder(output)
    stopped = "stopped before a model was written"
    if checkpoint := folder.newest() if folder else None:
        own = checkpoint.belongs_to_job(policy.job)
        if own is not False:
            checkpoint.check_resumable(training.settings)
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
        description, network = _start(training)
    except UserError as error:
        logger.warning(f"{stopped}, and there is none: {error}")
        return
    state = host_copy(network)
    writer.save(description, last=state, best=state, records=[])
    logger.warning(f"{stopped}: {output} holds the weights that training starts from")


def _start(training: Training) -> tuple[Description, SegmentationNetwork]:
    """The model before its training, as far as it is known before the data are read."""
    if parent := training.read_parent():
        training.inherit(parent, resuming=False)
    settings, start = training.settings, training.start_from
    classes = training.settle_classes(parent)
    if classes.count is None:
        raise UserError("nothing but the masks says how many classes there are")
    names = classes.names or numbered_names(classes.count)
    pixel_format = PixelFormat(settings.bands or 3, exif_transposed=settings.apply_exif_orientation)
    if parent:
        pixel_format = parent.network.pixel_format
    network = start_network(settings, names, pixel_format, parent.network if parent else None, start, blank=False)
    maps, data = (classes.train_map, classes.validation_map), dict[str, Any](train={}, validation={})
    return describe(network.spec, settings, names, maps, data=data, started_from=start), network
