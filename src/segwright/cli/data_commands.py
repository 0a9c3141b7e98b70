"""The commands about data. Each imports what it calls when it runs."""

import logging
import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from segwright.cli.shared import (
    Attributes,
    ChannelFlags,
    ClassNames,
    Data,
    DataHyperparameterFlags,
    Overwrite,
    Strict,
    app,
    read_flags,
    split_list,
)
from segwright.errors import UserError
from segwright.storage import parse_location
from segwright.wording import counted

logger = logging.getLogger(__name__)


@app.command(sort_key=4, usage="Usage: segwright inspect DATA [OPTIONS]")
def inspect(
    data: Data = None,
    /,
    *,
    html: Path | None = None,
    json: Path | None = None,
    channels: ChannelFlags | None = None,
    class_names: ClassNames = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
    hyperparameters: DataHyperparameterFlags | None = None,
) -> None:
    """Check images and masks without training: statistics, all findings, and a page with images.

    The exit status is 0 if a training would start, and 2 if it would refuse the data.

    Args:
        html: The page to write; by default segwright-inspect.html in the current directory, which is replaced.
        json: Also write the results to this file as JSON.
    """
    settings = read_flags(hyperparameters)
    from segwright.checks.report import inspect as run
    from segwright.data.channels import Channels

    run(
        Channels.locate(data, **(channels or ChannelFlags()).arguments()),
        settings,
        html=html,
        json=json,
        class_names=class_names,
        strict=strict,
        overwrite=overwrite,
    )


@app.command(sort_key=5, usage="Usage: segwright sample DIR [OPTIONS]")
def sample(
    directory: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    images: int = 300,
    size: str = "320x240",
    seed: int = 0,
    overwrite: Overwrite = False,
) -> None:
    """Draw street scenes with exact masks, in the folders that train expects.

    Args:
        directory: The folder that receives the images.
        images: The number of images, over all channels together.
        size: Their size in pixels, WIDTHxHEIGHT.
        seed: The same seed draws the same images.
    """
    given = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", size.lower())
    if given is None:
        raise UserError(f"--size is {size}; it takes WIDTHxHEIGHT in pixels, for example 320x240.")
    from segwright.sample_data.dataset import write_sample

    write_sample(directory, images=images, width=int(given[1]), height=int(given[2]), seed=seed, overwrite=overwrite)
    logger.info(f"{images} images with their masks: {directory}")


@app.command(sort_key=6, usage="Usage: segwright split DATA --output DIR [OPTIONS]")
def split(
    data: Annotated[Path, Parameter(name="DATA")],
    /,
    *,
    output: Path,
    validation: float = 0.2,
    test: float = 0.0,
    group: Annotated[str | None, Parameter(metavar="REGEX")] = None,
    seed: int = 0,
    overwrite: Overwrite = False,
) -> None:
    """Divide images and masks into train, validation and, if wanted, test; all are copied, with the label map.

    Every split gets its share of each class, as far as that is possible.

    Args:
        data: A folder with folders of images and masks, or with both side by side, or with train and train_annotation
            but no validation. A test split that it has is copied as it is.
        output: The folder that receives the splits.
        validation: The share of pairs for validation.
        test: The share of pairs for test.
        group: A regular expression, searched in the path of each image, such as 'patient([0-9]+)': pairs with the same
            first group, or whole match, stay in one split.
        seed: The same seed makes the same splits.
    """
    from segwright.importers.split_folder import split_folder

    summaries = split_folder(
        data, output, validation=validation, test=test, group=group, seed=seed, overwrite=overwrite
    )
    for name, (pairs, groups) in summaries.items():
        logger.info(f"{name}: {counted(pairs, 'pair')}" + (f" in {counted(groups, 'group')}" if group else ""))
    logger.info(f"splits: {output}")


@app.command(sort_key=7, usage="Usage: segwright pipe MANIFEST DIR [OPTIONS]")
def pipe(
    manifest: str,
    directory: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    validation: str | None = None,
    attributes: Attributes = None,
    shuffle_seed: int | None = None,
) -> None:
    """Serve manifests as FIFOs like SageMaker's Pipe mode, for train DIR --input-mode Pipe.

    Args:
        manifest: The manifest of the channel train.
        directory: The folder in which the FIFOs appear.
        validation: The manifest of the channel validation; by default MANIFEST for both.
        shuffle_seed: Shuffle the lines in each pass, like SageMaker's ShuffleConfig.
    """
    from segwright.data.pipe_server import serve_pipes

    logger.info(f"serving {directory}/train_0 and {directory}/validation_0; Ctrl-C ends it")
    serve_pipes(
        {"train": parse_location(manifest), "validation": parse_location(validation or manifest)},
        directory,
        attributes=split_list(attributes),
        shuffle_seed=shuffle_seed,
        served=lambda name, records: logger.info(f"{name}: {records} records"),
    )
