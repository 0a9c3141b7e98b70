"""A training as its bundle describes it. Checkpoints hold the same description, and are recognised by it.

Refuses to know weights and files.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from segwright.bundle import Description, describe_classes, versions
from segwright.checks.prepare import CheckedData
from segwright.data.channels import SPLITS
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.networks import NetworkSpec
from segwright.training.checkpoint_state import CHECKPOINT_VERSION, TrainProgress
from segwright.training.checkpoints import START_ANEW, Checkpoint
from segwright.training.initialization import Former, follow

_FIXED: Final = ("optimizer", "update_rule", "mini_batch_size", "last_batch", "seed")
"""Settings that a training cannot change half-way: its state or its place in the epoch would mean something else."""

_NETWORK: Final = ("algorithm", "backbone", "output_stride", "decoder_output_stride", "num_classes")
_IMAGES: Final = ("bands", "apply_exif_orientation")
_STREAM: Final = "a stream"


def describe(
    network: NetworkSpec, settings: Hyperparameters, data: CheckedData, progress: TrainProgress
) -> Description:
    """What a training is of, and how far it has come."""
    last = None if progress.sums.batches else progress.last  # Within an epoch the weights have moved on.
    return Description(
        network=network,
        classes=describe_classes(data.class_names, data.palette),
        label_maps={"train": data.train.label_map.to_json(), "validation": data.validation.label_map.to_json()},
        hyperparameters=settings.model_dump(mode="json"),
        data=_with_streams(data.to_json(), progress),
        metrics={"best": progress.best, "last": last},
        versions=versions(),
        started_from=progress.started_from,
    )


def description_in(checkpoint: Checkpoint) -> Description:
    """The description in a checkpoint. Raises UserError for one that another version of Segwright wrote."""
    if checkpoint.facts.get("format_version") != CHECKPOINT_VERSION:
        raise UserError(
            "--resume: the checkpoint was written by another version of Segwright: go on with that, or start anew, "
            "without --resume and with --overwrite"
        )
    return Description.model_validate(checkpoint.facts["description"])


def former_of(description: Description) -> Former:
    """What an earlier training says of its network."""
    return Former(description.network, description.class_names)


def is_of(checkpoint: Checkpoint, bundle: Description) -> bool:
    """Whether a bundle was written by the training that a checkpoint is of."""
    then = description_in(checkpoint)
    if not all(bundle.data.get(split) for split in SPLITS):  # imported, or written before the data were read
        return False
    same_data = all(_same_data(then.data[split], bundle.data[split]) for split in SPLITS)
    return same_data and {**_identity(then), **_fixed(then)} == {**_identity(bundle), **_fixed(bundle)}


def _same_data(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two data reports are of the same data; streams that cannot be shown to be the same are not."""
    prints = {one["fingerprint"], other["fingerprint"]}
    if one.get("complete", True):
        return len(prints) == 1
    began = one.get("first_pairs")
    return bool(began) and began == other.get("first_pairs") and len(prints - {""}) < 2


def check_another(checkpoint: Checkpoint, now: Description, settings: Hyperparameters) -> None:
    """Raise UserError when a checkpoint is not one of the training that is described, with these settings.

    Of streams it is only known here that they are some: `training.streams` compares them.
    """
    facts, then = checkpoint.facts, description_in(checkpoint)
    asked = {name: getattr(settings, name) for name in (*_FIXED, *_IMAGES)}
    given = {name: value for name, value in asked.items() if value is not None}
    _check_difference({**_identity(then), **_fixed(then)}, {**_identity(now), **given})
    reached = facts["epoch"] + bool(facts["sums"]["batches"])
    if settings.epochs < reached:
        raise UserError(
            f"--resume: epochs is {settings.epochs}, but epoch {reached} has begun; it takes at least {reached}"
        )


def check_network_unchanged(checkpoint: Checkpoint, settings: Hyperparameters) -> None:
    """Raise UserError when settings, as far as they are given, ask for another network than a checkpoint is of."""
    then = description_in(checkpoint)
    settings = follow(settings, then.network)
    asked = {name: getattr(settings, name) for name in (*_NETWORK, *_IMAGES)}
    _check_difference(_identity(then), {name: value for name, value in asked.items() if value is not None})


def _check_difference(had: Mapping[str, Any], has: Mapping[str, Any]) -> None:
    for name, value in has.items():
        if had[name] != value:
            what = name.replace("_", " ")
            values = f": it was {had[name]}, now it is {value}"
            if name.endswith("data"):
                values = ": one is a stream, the other is not" if _STREAM in (had[name], value) else ""
            raise UserError(
                f"--resume: the checkpoint is of a training with another {what}{values}. Give it back what it had; or "
                f"{START_ANEW}"
            )


def _identity(description: Description) -> Mapping[str, Any]:
    """What must stay as it is when a training is resumed, by name."""
    return {
        **asdict(description.network),
        "apply_exif_orientation": description.network.upright,
        "class_names": description.class_names,
        "training_data": _data_identity(description.data["train"]),
        "validation_data": _data_identity(description.data["validation"]),
        "label_maps": description.label_maps,
    }


def _data_identity(report: Mapping[str, Any]) -> str:
    return str(report["fingerprint"]) if report.get("complete", True) else _STREAM


def _fixed(description: Description) -> Mapping[str, Any]:
    return {name: description.hyperparameters.get(name) for name in _FIXED}


def _with_streams(data: Mapping[str, Any], progress: TrainProgress) -> dict[str, Any]:
    """Data reports with what is known of their streams."""
    known = {str(split): identity.to_json() for split, identity in progress.streams.items()}
    return {split: {**report, **known.get(split, {})} for split, report in data.items()}
