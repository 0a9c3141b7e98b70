"""The commands: their arguments, their help, and the one function that each of them calls.

Each command imports the room that it calls when it runs, so that `--help` and a misspelt flag answer at once,
without torch. Nothing is computed here.
"""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter, validators

from segwright import __version__
from segwright.cli.flags import HyperparameterFlags, read_flags
from segwright.console import LOGGER, progress
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters

_CHANNELS = Group(
    "Channels", help="Folders that do not lie in DATA under SageMaker's names, each by its path.", sort_key=2
)
_OPTIONS = Group("Options", sort_key=1)

app = App(
    name="segwright",
    help="Semantic segmentation: from folders of images and masks to a trained model and its masks.",
    version=__version__,
    version_flags=["--version"],
    help_format="plaintext",
    group_parameters=_OPTIONS,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

Data = Annotated[
    Path | None,
    Parameter(help="A folder that holds train, train_annotation, validation, validation_annotation."),
]
Train = Annotated[Path | None, Parameter(group=_CHANNELS, help="Training images.")]
TrainAnnotation = Annotated[Path | None, Parameter(group=_CHANNELS, help="Masks of the training images.")]
Validation = Annotated[Path | None, Parameter(group=_CHANNELS, help="Validation images.")]
ValidationAnnotation = Annotated[Path | None, Parameter(group=_CHANNELS, help="Masks of the validation images.")]
LabelMapPath = Annotated[
    Path | None,
    Parameter(group=_CHANNELS, help="Which pixel value means which class: a file, or a folder of them."),
]
ClassNames = Annotated[
    Path | None,
    Parameter(group=_CHANNELS, help="The names of the classes: text, a name a line, or a JSON list."),
]
Device = Annotated[
    Literal["cpu", "cuda", "mps"] | None,
    Parameter(help="Where to compute; left out, the best that is there."),
]
PrecisionDtype = Annotated[
    Literal["float32", "float16", "bfloat16", "auto"],
    Parameter(help="The number format to compute in; auto takes the fastest that the device does well."),
]
Strict = Annotated[
    bool,
    Parameter(
        negative=(),
        show_default=False,
        help="Refuse data with unpaired or unreadable files, or with pixel values that the label map does not name.",
    ),
]
Overwrite = Annotated[bool, Parameter(negative=(), show_default=False, help="Replace what exists at the output.")]
Bundle = Annotated[Path, Parameter(help="A trained model: the folder that train wrote.")]


@app.command(sort_key=1, usage="Usage: segwright train DATA --output BUNDLE [OPTIONS]")
def train(
    data: Data = None,
    /,
    *,
    output: Annotated[Path, Parameter(help="The folder that receives the trained model.")],
    train: Train = None,
    train_annotation: TrainAnnotation = None,
    validation: Validation = None,
    validation_annotation: ValidationAnnotation = None,
    label_map: LabelMapPath = None,
    class_names: ClassNames = None,
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
    from segwright.data.folders import Channels
    from segwright.training import train as run

    channels = Channels.locate(
        data,
        train=train,
        train_annotation=train_annotation,
        validation=validation,
        validation_annotation=validation_annotation,
        label_map=label_map,
    )
    run(
        channels,
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
    images: Annotated[Path, Parameter(help="The folder of images.")],
    masks: Annotated[Path, Parameter(help="The folder of their masks.")],
    label_map: Annotated[Path | None, Parameter(help="Which pixel value of the masks means which class.")] = None,
    json: Annotated[Path | None, Parameter(help="Write the scores to this file as well.")] = None,
    device: Device = None,
    precision_dtype: PrecisionDtype = "float32",
    strict: Strict = False,
) -> None:
    """Score a trained model against masks: mean IoU, pixel accuracy, and a line for each class."""
    from segwright.storage import refuse_unwritable_file, write_json

    if json:
        refuse_unwritable_file(json)
    from segwright.evaluation import evaluate as run
    from segwright.evaluation import show

    scores = run(
        bundle, images, masks, label_map=label_map, device=device, precision_dtype=precision_dtype, strict=strict
    )
    show(scores, f"{bundle} on {images}")
    if json:
        write_json(json, scores.to_json())


@app.command(sort_key=3, usage="Usage: segwright predict BUNDLE IMAGE_OR_DIR... --output DIR [OPTIONS]")
def predict(
    bundle: Bundle,
    inputs: Annotated[list[Path], Parameter(name="IMAGE_OR_DIR", help="Images, or folders of images.")],
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


@app.command(sort_key=4, usage="Usage: segwright inspect DATA [OPTIONS]")
def inspect(
    data: Data = None,
    /,
    *,
    picture: Annotated[
        Path | None,
        Parameter(
            help="The picture of sample overlays to draw; left out, segwright-inspect.png in the current directory, "
            "which is replaced each time."
        ),
    ] = None,
    train: Train = None,
    train_annotation: TrainAnnotation = None,
    validation: Validation = None,
    validation_annotation: ValidationAnnotation = None,
    label_map: LabelMapPath = None,
    class_names: ClassNames = None,
    num_classes: Annotated[
        str | None, Parameter(help="The number of classes; left out, it comes from label map or masks.")
    ] = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Check images and masks without training: a table of what they hold, and a picture of some of them."""
    settings = Hyperparameters.from_strings({"num_classes": num_classes or ""})
    from segwright.data.folders import Channels
    from segwright.data.inspect import inspect as run

    channels = Channels.locate(
        data,
        train=train,
        train_annotation=train_annotation,
        validation=validation,
        validation_annotation=validation_annotation,
        label_map=label_map,
    )
    run(
        channels,
        picture,
        num_classes=settings.num_classes,
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
    from segwright.data.sample import write_sample

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
    LOGGER.info(f"{images} pictures with their masks: {directory}")


def _size(text: str) -> tuple[int, int]:
    """Width and height of `WxH`."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() and int(part) for part in parts):
        raise UserError(f"--size is {text}; it takes WIDTHxHEIGHT in pixels, for example 320x240.")
    return int(parts[0]), int(parts[1])
