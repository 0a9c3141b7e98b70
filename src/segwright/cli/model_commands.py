"""The commands that make, score and use a model.

Each imports what it calls when it runs, so that `--help` and a misspelt flag need no torch.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from segwright.cli.shared import (
    CHANNEL_GROUP,
    Attributes,
    Bundle,
    ChannelFlags,
    ClassNames,
    Data,
    Device,
    HyperparameterFlags,
    Overwrite,
    Precision,
    Scale,
    Strict,
    Switch,
    Tta,
    app,
    read_flags,
    split_list,
    split_pair,
)
from segwright.resources import bound_memory_of_sizes
from segwright.storage import Cache

logger = logging.getLogger(__name__)


@Parameter(name="*", group=CHANNEL_GROUP)
@dataclass(frozen=True, kw_only=True)
class CacheFlags:
    """Where objects from S3 are kept."""

    cache: Path | None = None
    """A folder that keeps objects fetched from S3, for this and later trainings."""
    cache_size: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 10.0
    """The size limit of the cache, in gigabytes."""

    def open(self) -> Cache | None:
        """The cache, if one is given. Raises UserError where it cannot be written."""
        if self.cache is None:
            return None
        cache = Cache(self.cache.resolve(), round(self.cache_size * 1e9))
        cache.prepare()
        return cache


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CheckpointFlags:
    """Where and how often a training is saved, and whether it is resumed."""

    resume: Switch = False
    """Continue from the newest checkpoint, also with --overwrite; start from the beginning if there is none."""
    checkpoints: Path | None = None
    """The folder of checkpoints, which stay; by default OUTPUT.checkpoints, removed when the training has ended."""
    checkpoint_every: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 600.0
    """Seconds between checkpoints; each validation writes one too."""


@app.command(sort_key=1, usage="Usage: segwright train DATA --output BUNDLE [OPTIONS]")
def train(
    data: Data = None,
    /,
    *,
    output: Path,
    channels: ChannelFlags | None = None,
    class_names: ClassNames = None,
    input_mode: Annotated[Literal["File", "Pipe"], Parameter(group=CHANNEL_GROUP)] = "File",
    cache: CacheFlags | None = None,
    start_from: Annotated[Path | None, Parameter(name="--from")] = None,
    checkpoints: CheckpointFlags | None = None,
    device: Device = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
    hyperparameters: HyperparameterFlags | None = None,
) -> None:
    """Train a network on images and masks, and keep the weights with the best validation score.

    Hyperparameters that are True or False need no value: --syncbn, --no-syncbn.

    Args:
        output: The folder that receives the trained model.
        input_mode: Pipe reads the FIFOs DATA/train_0, ... that SageMaker and `segwright pipe` serve.
        start_from: A trained model to start from; classes with equal names keep their weights.
    """
    started, settings = time.monotonic(), read_flags(hyperparameters)
    from segwright.data.channels import Channels
    from segwright.training import CheckpointPolicy
    from segwright.training import train as run

    given, saved = (channels or ChannelFlags()).arguments(), checkpoints or CheckpointFlags()
    run(
        Channels.locate(data, **given, input_mode=input_mode, cache=(cache or CacheFlags()).open()),
        output,
        settings,
        class_names=class_names,
        start_from=start_from,
        checkpoints=CheckpointPolicy(saved.checkpoints, saved.checkpoint_every, saved.resume, overwrite),
        device=device,
        strict=strict,
        started=started,
    )


@app.command(sort_key=2, usage="Usage: segwright evaluate BUNDLE --images DIR --masks DIR [OPTIONS]")
def evaluate(
    bundle: Bundle,
    /,
    *,
    images: str,
    masks: str | None = None,
    label_map: Path | None = None,
    attributes: Attributes = None,
    json: Path | None = None,
    device: Device = None,
    precision: Precision = "float32",
    scale: Scale = None,
    tta: Tta = False,
    strict: Strict = False,
) -> None:
    """Score a trained model against masks: mean IoU, pixel accuracy, and a line for each class.

    Args:
        images: The folder of images, or a manifest or RecordIO file of images and masks.
        masks: The folder of their masks.
        label_map: Which pixel value of the masks means which class.
        json: Also write the scores to this file.
    """
    from segwright.storage import check_writable_file, write_json

    if json:
        check_writable_file(json)
    bound_memory_of_sizes()
    from segwright.evaluation import evaluate as run
    from segwright.evaluation import print_scores

    scores = run(
        bundle,
        images,
        masks,
        label_map=label_map,
        attributes=split_list(attributes),
        device=device,
        precision=precision,
        scale=scale,
        tta=tta,
        strict=strict,
    )
    if json:
        write_json(json, scores.to_json())
    print_scores(scores, f"{bundle} on {images}")


Colours = Annotated[list[str] | None, Parameter(name=("--colour", "--color"), metavar="CLASS=COLOUR", negative=())]


@app.command(sort_key=3, usage="Usage: segwright predict BUNDLE IMAGE_OR_DIR... --output DIR [OPTIONS]")
def predict(
    bundle: Bundle,
    inputs: Annotated[list[str], Parameter(name="IMAGE_OR_DIR")],
    /,
    *,
    output: Path,
    overlay: Switch = False,
    opacity: float | None = None,
    colour: Colours = None,
    probabilities: Switch = False,
    unsure: float | None = None,
    device: Device = None,
    precision: Precision = "auto",
    scale: Scale = None,
    tta: Tta = False,
    overwrite: Switch = False,
) -> None:
    """Predict the masks of images: STEM.png for each, class indices with a palette, at the image's size; STEM.tif, in
    the same place, for a GeoTIFF.

    Args:
        inputs: Images, or folders of images.
        output: The folder that receives the masks.
        overlay: Add STEM.overlay.png, the image under its mask; background (class 0 so called, or unnamed) is clear.
        opacity: The opacity of colours in overlays, from 0 to 1; by default 0.5.
        colour: The colour of a class, as in vessel=red, vessel=#ff0000 or sky=none (clear); may be repeated.
        probabilities: Add STEM.npy, the probabilities, float32 [C, H, W].
        unsure: Set pixels to 255 whose most likely class has a probability below this, such as 0.7.
        overwrite: Write into a folder that holds files; masks of the same STEM are replaced, others stay.
    """
    colours = dict(split_pair("colour", "CLASS=COLOUR", text) for text in colour or ())
    bound_memory_of_sizes()
    from segwright.inference import predict_files

    predict_files(
        bundle,
        inputs,
        output,
        overlay=overlay,
        opacity=opacity,
        colours=colours,
        probabilities=probabilities,
        unsure=unsure,
        device=device,
        precision=precision,
        scale=scale,
        tta=tta,
        overwrite=overwrite,
    )


@app.command(sort_key=8, usage="Usage: segwright import-model MODEL_TAR_GZ_OR_PARAMS BUNDLE [OPTIONS]")
def import_model(
    source: Annotated[Path, Parameter(name="MODEL_TAR_GZ_OR_PARAMS")],
    bundle: Annotated[Path, Parameter(name="BUNDLE")],
    /,
    *,
    overwrite: Overwrite = False,
) -> None:
    """Convert a model of SageMaker's original algorithm (MXNet) to a bundle.

    Args:
        source: The model.tar.gz of a training, its unpacked folder, or a .params file.
        bundle: The folder that receives the model.
    """
    from segwright.mxnet import import_model as run

    run(source, bundle, overwrite=overwrite)
    logger.info(f"the model: {bundle}")
