"""The commands that make and use a model: their arguments, their help, and the one function that each of them calls.

Each command imports the room that it calls when it runs, so that `--help` and a misspelt flag answer at once,
without torch. Nothing is computed here.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from segwright.cli.flags import HyperparameterFlags, read_flags
from segwright.cli.shared import (
    Attributes,
    Bundle,
    CacheFolder,
    CacheSize,
    ChannelFlags,
    ClassNames,
    Data,
    Device,
    InputModeFlag,
    Overwrite,
    PrecisionDtype,
    Strict,
    app,
    open_cache,
    split_list,
)


@app.command(sort_key=1, usage="Usage: segwright train DATA --output BUNDLE [OPTIONS]")
def train(
    data: Data = None,
    /,
    *,
    output: Annotated[Path, Parameter(help="The folder that receives the trained model.")],
    channels: ChannelFlags | None = None,
    class_names: ClassNames = None,
    input_mode: InputModeFlag = "File",
    cache: CacheFolder = None,
    cache_size: CacheSize = 10.0,
    start_from: Annotated[
        Path | None,
        Parameter(name="--from", help="A trained model to start from; classes that both know keep what they learnt."),
    ] = None,
    resume: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Go on from the newest checkpoint of a training that was ended, also with --overwrite; where there is "
            "none, start anew.",
        ),
    ] = False,
    checkpoints: Annotated[
        Path | None,
        Parameter(help="The folder of checkpoints; left out, OUTPUT.checkpoints beside the trained model."),
    ] = None,
    checkpoint_every: Annotated[
        float,
        Parameter(
            validator=validators.Number(gt=0),
            help="Seconds between checkpoints within an epoch; the end of an epoch always writes one.",
        ),
    ] = 600.0,
    device: Device = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
    hyperparameters: HyperparameterFlags | None = None,
) -> None:
    """Train a network on images and masks, and keep the one that does best in validation.

    Hyperparameters that are True or False need no value: --syncbn, --no-syncbn.
    """
    settings = read_flags(hyperparameters)
    from segwright.data.channels import Channels
    from segwright.training import train as run

    places = Channels.locate(
        data,
        **(channels or ChannelFlags()).given(),
        input_mode=input_mode,
        cache=open_cache(cache, cache_size),
    )
    run(
        places,
        output,
        settings,
        class_names=class_names,
        start_from=start_from,
        checkpoints=checkpoints,
        checkpoint_every=checkpoint_every,
        resume=resume,
        device=device,
        strict=strict,
        overwrite=overwrite,
    )


@app.command(sort_key=2, usage="Usage: segwright evaluate BUNDLE --images DIR --masks DIR [OPTIONS]")
def evaluate(
    bundle: Bundle,
    /,
    *,
    images: Annotated[str, Parameter(help="The folder of images, or a manifest or RecordIO file with their masks.")],
    masks: Annotated[str | None, Parameter(help="The folder of their masks.")] = None,
    label_map: Annotated[Path | None, Parameter(help="Which pixel value of the masks means which class.")] = None,
    attributes: Attributes = None,
    json: Annotated[Path | None, Parameter(help="Write the scores to this file as well.")] = None,
    device: Device = None,
    precision_dtype: PrecisionDtype = "float32",
    strict: Strict = False,
) -> None:
    """Score a trained model against masks: mean IoU, pixel accuracy, and a line for each class."""
    from segwright.storage import check_writable_file, write_json

    if json:
        check_writable_file(json)
    from segwright.evaluation import evaluate as run
    from segwright.evaluation import show

    scores = run(
        bundle,
        images,
        masks,
        label_map=label_map,
        attributes=split_list(attributes),
        device=device,
        precision_dtype=precision_dtype,
        strict=strict,
    )
    if json:
        write_json(json, scores.to_json())
    show(scores, f"{bundle} on {images}")


@app.command(sort_key=3, usage="Usage: segwright predict BUNDLE IMAGE_OR_DIR... --output DIR [OPTIONS]")
def predict(
    bundle: Bundle,
    inputs: Annotated[list[str], Parameter(name="IMAGE_OR_DIR", help="Images, or folders of images.")],
    /,
    *,
    output: Annotated[Path, Parameter(help="The folder that receives the masks.")],
    overlay: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="Add STEM.overlay.png, the image with its mask laid over."),
    ] = False,
    probabilities: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="Add STEM.npy, the probabilities, float32 [C, H, W]."),
    ] = False,
    device: Device = None,
    precision_dtype: PrecisionDtype = "float32",
    overwrite: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Write into a folder that holds files already; masks of the same name are replaced, others stay.",
        ),
    ] = False,
) -> None:
    """Draw the masks of images: STEM.png for each, class indices with a palette, at the image's own size."""
    from segwright.inference import predict_files

    predict_files(
        bundle,
        inputs,
        output,
        overlay=overlay,
        probabilities=probabilities,
        device=device,
        precision_dtype=precision_dtype,
        overwrite=overwrite,
    )
