"""The channels of a job as inputs of a training.

Knows which channels a job may have, and in which modes. Refuses to know what lies in them: `data.channels` does.

Source: SageMaker's contract, sections 1.1, 1.4 and 2.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from segwright.data.channels import LIST_SUFFIXES, SPLITS, Channels
from segwright.data.folders import CHANNELS
from segwright.errors import DataError
from segwright.sagemaker.job import ChannelConfig
from segwright.sagemaker.paths import Paths

logger = logging.getLogger(__name__)

_INPUTS: Final = tuple(name for name in CHANNELS if name != "model")


def locate_channels(tree: Paths, configs: Mapping[str, ChannelConfig]) -> Channels:
    """Where the inputs of the job lie. Raises DataError for channels that are missing or come in a way that cannot be.

    The label map of one side is never used for the other: SageMaker's are independent.
    """
    unknown = [name for name in configs if name not in CHANNELS]
    if unknown:
        logger.warning(f"Channels that nobody asked for are not read: {', '.join(unknown)}.")
    _check_missing(tree, configs)
    _check_unreadable_modes(configs)
    pipe = configs["train"].mode == "Pipe"
    used = [name for name in _INPUTS if name in configs and not (pipe and name.endswith("_annotation"))]
    _check_undelivered(tree, [name for name in used if configs[name].mode != "Pipe"])
    return Channels.locate(
        None,
        **{name: tree.channel(name) for name in used},  # type: ignore[arg-type]
        input_mode="Pipe" if pipe else "File",
        share_label_map=False,
    )


def tell_absent_label_maps(channels: Channels) -> None:
    """Warn of the sides whose pixel values are taken as classes, as the original does."""
    absent = [split for split in SPLITS if channels.label_map_file(split) is None]
    if absent:
        logger.warning(f"Label maps are not given for {' and '.join(absent)}: defaults are used.")


def _check_missing(tree: Paths, configs: Mapping[str, ChannelConfig]) -> None:
    missing: list[str] = [split for split in SPLITS if split not in configs]
    if not any(configs[split].mode == "Pipe" for split in SPLITS if split in configs):
        alone = [split for split in SPLITS if not _has_list(tree, split)]
        missing += [masks for masks in (f"{split}_annotation" for split in alone) if masks not in configs]
    if missing:
        raise DataError(
            f"Channels are missing: {', '.join(sorted(missing))}. A job has the channels train, train_annotation, "
            "validation and validation_annotation; with an augmented manifest in Pipe mode, train and validation. Add "
            f"what is missing to InputDataConfig, which has {', '.join(configs) or 'none'}."
        )


def _check_undelivered(tree: Paths, names: Sequence[str]) -> None:
    absent = [f"{name} ({tree.channel(name)})" for name in names if not tree.channel(name).exists()]
    if absent:
        raise DataError(
            "InputDataConfig has channels that were not delivered, since their folders are not there: "
            f"{', '.join(absent)}. Check that their S3Uri names objects, and outside SageMaker that they are mounted."
        )


def _has_list(tree: Paths, split: str) -> bool:
    """Whether a channel holds a manifest or a RecordIO file, which name or hold the masks as well."""
    folder = tree.channel(split)
    return folder.is_dir() and any(file.suffix.lower() in LIST_SUFFIXES for file in folder.iterdir())


def _check_unreadable_modes(configs: Mapping[str, ChannelConfig]) -> None:
    modes = {split: configs[split].mode for split in SPLITS}
    if "Pipe" in modes.values() and set(modes.values()) != {"Pipe"}:
        raise DataError(
            f"The channel train comes in mode {modes['train']}, validation in mode {modes['validation']}: give both "
            "TrainingInputMode Pipe, or neither."
        )
    for name in SPLITS:
        config = configs[name]
        if config.mode == "Pipe" and config.wrapper != "RecordIO":
            raise DataError(
                f"The channel {name} is in Pipe mode with RecordWrapperType {config.wrapper}: its records have no "
                "borders. Set RecordWrapperType to RecordIO, S3DataType to AugmentedManifestFile and AttributeNames to "
                "those of image and mask."
            )
    piped = [name for name in configs if name in CHANNELS and name not in SPLITS and configs[name].mode == "Pipe"]
    if piped and piped[0].endswith("_annotation"):
        raise DataError(
            f"The channel {piped[0]} is in Pipe mode, in which masks come beside their images: leave it out and give "
            "train and validation an augmented manifest, or give all channels InputMode File."
        )
    if piped:
        raise DataError(f"The channel {piped[0]} is in Pipe mode: give it InputMode File of its own.")
