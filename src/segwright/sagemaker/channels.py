"""The channels of a job, checked and located as the inputs of a training.

Source: SageMaker's contract, sections 1.1, 1.4 and 2.
"""

import logging
from collections.abc import Mapping
from typing import Final

from segwright.data.channels import SPLITS, Channels
from segwright.data.folders import CHANNELS
from segwright.data.lists import LIST_SUFFIXES
from segwright.errors import DataError
from segwright.sagemaker.job import ChannelConfig
from segwright.sagemaker.paths import Paths

logger = logging.getLogger(__name__)

_INPUTS: Final = tuple(name for name in CHANNELS if name != "model")


def locate_channels(paths: Paths, configs: Mapping[str, ChannelConfig]) -> Channels:
    """The inputs of the job. Raises DataError for channels that are missing or have an unusable mode.

    The label map of one split is never used for the other: SageMaker's are independent.
    """
    unknown = [name for name in configs if name not in CHANNELS]
    if unknown:
        logger.warning(f"Unknown channels are not read: {', '.join(unknown)}.")
    _check_missing(paths, configs)
    _check_modes(configs)
    pipe = configs["train"].mode == "Pipe"
    used = [name for name in _INPUTS if name in configs and not (pipe and name.endswith("_annotation"))]
    absent = [name for name in used if configs[name].mode != "Pipe" and not paths.channel(name).exists()]
    if absent:
        raise DataError(
            "InputDataConfig has channels that were not delivered, since their folders do not exist: "
            f"{', '.join(f'{name} ({paths.channel(name)})' for name in absent)}. Check that their S3Uri names objects, "
            "and outside SageMaker that they are mounted."
        )
    return Channels.locate(
        None,
        **{name: paths.channel(name) for name in used},  # type: ignore[arg-type]
        input_mode="Pipe" if pipe else "File",
        share_label_map=False,
    )


def log_missing_label_maps(channels: Channels) -> None:
    """Warn of the splits whose pixel values are taken as classes, as the original does."""
    missing = [split for split in SPLITS if channels.label_map_file(split) is None]
    if missing:
        logger.warning(f"Label maps are not given for {' and '.join(missing)}: defaults are used.")


def _check_missing(paths: Paths, configs: Mapping[str, ChannelConfig]) -> None:
    missing: list[str] = [split for split in SPLITS if split not in configs]
    if not any(configs[split].mode == "Pipe" for split in SPLITS if split in configs):
        folders = [split for split in SPLITS if not _has_list(paths, split)]
        missing += [masks for masks in (f"{split}_annotation" for split in folders) if masks not in configs]
    if missing:
        raise DataError(
            f"Channels are missing: {', '.join(sorted(missing))}. A job has the channels train, train_annotation, "
            "validation and validation_annotation; with an augmented manifest in Pipe mode, train and validation. Add "
            f"what is missing to InputDataConfig, which has {', '.join(configs) or 'none'}."
        )


def _has_list(paths: Paths, split: str) -> bool:
    """Whether a channel holds a manifest or a RecordIO file, which names or holds the masks as well."""
    folder = paths.channel(split)
    return folder.is_dir() and any(file.suffix.lower() in LIST_SUFFIXES for file in folder.iterdir())


def _check_modes(configs: Mapping[str, ChannelConfig]) -> None:
    train, validation = (configs[split].mode for split in SPLITS)
    if (train == "Pipe") != (validation == "Pipe"):
        raise DataError(
            f"The channel train comes in mode {train}, validation in mode {validation}: give both TrainingInputMode "
            "Pipe, or neither."
        )
    for name in [name for name in CHANNELS if name in configs and configs[name].mode == "Pipe"]:
        if name.endswith("_annotation"):
            raise DataError(
                f"The channel {name} is in Pipe mode, in which masks come beside their images: leave it out and give "
                "train and validation an augmented manifest, or give all channels InputMode File."
            )
        if name not in SPLITS:
            raise DataError(f"The channel {name} is in Pipe mode: give it InputMode File of its own.")
        if configs[name].wrapper != "RecordIO":
            raise DataError(
                f"The channel {name} is in Pipe mode with RecordWrapperType {configs[name].wrapper}: its records have "
                "no borders. Set RecordWrapperType to RecordIO, S3DataType to AugmentedManifestFile and AttributeNames "
                "to those of image and mask."
            )
