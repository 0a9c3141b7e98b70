"""The commands about data: their arguments, their help, and the one function that each of them calls.

As in `commands`, each imports what it calls when it runs, and nothing is computed here.
"""

import logging
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from segwright.cli.shared import (
    Attributes,
    ChannelFlags,
    ClassNames,
    Data,
    Overwrite,
    Strict,
    app,
    split_list,
)
from segwright.console import progress
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.storage import parse_location

logger = logging.getLogger(__name__)


@app.command(sort_key=4, usage="Usage: segwright inspect DATA [OPTIONS]")
def inspect(
    data: Data = None,
    /,
    *,
    html: Annotated[
        Path | None,
        Parameter(
            help="The page to write; left out, segwright-inspect.html in the current directory, which is replaced each "
            "time."
        ),
    ] = None,
    json: Annotated[Path | None, Parameter(help="Write the same to this file, for programs.")] = None,
    channels: ChannelFlags | None = None,
    class_names: ClassNames = None,
    num_classes: Annotated[
        str | None, Parameter(help="The number of classes; left out, it comes from label map or masks.")
    ] = None,
    base_size: Annotated[
        str | None, Parameter(help="As for train: it is compared with the sizes of the pictures.")
    ] = None,
    crop_size: Annotated[str | None, Parameter(help="As for train.")] = None,
    bands: Annotated[str | None, Parameter(help="As for train: how many bands to read of each image.")] = None,
    apply_exif_orientation: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="As for train: turn pictures as their camera noted (EXIF)."),
    ] = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Look at images and masks without training: tables of what they hold, all that is wrong, and a page with pictures.

    The exit status is 0 where a training would start, and 2 where it would refuse the data.
    """
    given = {"num_classes": num_classes, "base_size": base_size, "crop_size": crop_size, "bands": bands}
    settings = Hyperparameters.from_strings(
        {name: text for name, text in given.items() if text is not None}
        | {"apply_exif_orientation": str(apply_exif_orientation)}
    )
    from segwright.checks.report import inspect as run
    from segwright.data.channels import Channels

    places = Channels.locate(
        data,
        **(channels or ChannelFlags()).given(),
    )
    run(
        places,
        settings,
        html=html,
        json=json,
        class_names=class_names,
        strict=strict,
        overwrite=overwrite,
    )


@app.command(sort_key=5, usage="Usage: segwright sample DIR [OPTIONS]")
def sample(
    directory: Annotated[Path, Parameter(name="DIR", help="The folder that receives the pictures.")],
    /,
    *,
    images: Annotated[int, Parameter(help="How many pictures to draw, over all channels together.")] = 300,
    size: Annotated[str, Parameter(help="Their size in pixels, WIDTHxHEIGHT.")] = "320x240",
    seed: Annotated[int, Parameter(help="The same seed draws the same pictures.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Draw street scenes with exact masks, in the folders that train expects."""
    width, height = _size(size)
    from segwright.sample_data.dataset import write_sample

    with progress("drawing", images) as advance:
        write_sample(
            directory,
            images=images,
            width=width,
            height=height,
            seed=seed,
            overwrite=overwrite,
            progress=lambda _done, _total: advance(1, "pictures"),
        )
    logger.info(f"{images} pictures with their masks: {directory}")


@app.command(sort_key=7, usage="Usage: segwright pipe MANIFEST DIR [OPTIONS]")
def pipe(
    manifest: Annotated[str, Parameter(help="The manifest of the channel train.")],
    directory: Annotated[Path, Parameter(name="DIR", help="The folder in which the FIFOs appear.")],
    /,
    *,
    validation: Annotated[
        str | None, Parameter(help="The manifest of the channel validation; left out, MANIFEST serves as both.")
    ] = None,
    attributes: Attributes = None,
    shuffle_seed: Annotated[
        int | None, Parameter(help="Shuffle the lines anew in each pass, as SageMaker's ShuffleConfig does.")
    ] = None,
) -> None:
    """Serve manifests as FIFOs, as SageMaker's Pipe mode does: train DIR --input-mode Pipe reads them."""
    from segwright.data.pipe_server import serve

    train_place, validation_place = parse_location(manifest), parse_location(validation or manifest)
    logger.info(f"serving {directory}/train_0 and {directory}/validation_0; Ctrl-C ends it")
    serve(
        {"train": train_place, "validation": validation_place},
        directory,
        attributes=split_list(attributes),
        shuffle_seed=shuffle_seed,
        served=lambda name, records: logger.info(f"{name}: {records} records"),
    )


def _size(text: str) -> tuple[int, int]:
    """Width and height of `WxH`."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() and int(part) for part in parts):
        raise UserError(f"--size is {text}; it takes WIDTHxHEIGHT in pixels, for example 320x240.")
    return int(parts[0]), int(parts[1])
