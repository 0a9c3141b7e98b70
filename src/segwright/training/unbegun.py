"""The model of a training that somebody stops before it could begin, while its data are still read: what its checkpoint
holds, or the weights that it would have started from.

Refuses to know why it is stopped.
"""

from pathlib import Path

import torch

from segwright.bundle import BundleWriter, Description, describe_classes, host_copy, versions
from segwright.console import LOGGER
from segwright.data.preparation import Classes
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import numbered_names
from segwright.palettes import default_palette
from segwright.training.checkpoints import Checkpoint
from segwright.training.description import description_in
from segwright.training.start import Former, ImageSpec, start_network
from segwright.training.state import weights_in


def write_unbegun(
    writer: BundleWriter,
    checkpoint: Checkpoint | None,
    settings: Hyperparameters,
    classes: Classes,
    start: Path | None,
    former: Former | None,
) -> None:
    """Write the bundle, where a model can be made of what is known; else say why there is none."""
    if checkpoint is not None:
        _write_checkpoint(writer, checkpoint)
    elif classes.count is None:
        LOGGER.warning("stopped before the data were read: there is no model, because num_classes is not given")
    else:
        try:
            _write_start(writer, settings, classes, start, former)
        except UserError as error:
            LOGGER.warning(f"stopped before the data were read: there is no model, because {error}")


def _write_checkpoint(writer: BundleWriter, checkpoint: Checkpoint) -> None:
    last, best = weights_in(checkpoint)
    writer.save(description_in(checkpoint), last=last, best=best or last, records=checkpoint.facts["records"])
    LOGGER.warning(f"stopped before the data were read: {writer.path} holds the model of the newest checkpoint")


def _write_start(
    writer: BundleWriter, settings: Hyperparameters, classes: Classes, start: Path | None, former: Former | None
) -> None:
    names = classes.names or numbered_names(classes.count or 0)
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
    state = host_copy(network)
    writer.save(description, last=state, best=state, records=[])
    LOGGER.warning(f"stopped before the data were read: {writer.path} holds the weights that training would start from")
