"""A training from channels to a bundle: what has to be there before the first step, and in what order it is made.

Refuses to know epochs (loop.py), steps (epoch.py), scores (evaluation) and what a checkpoint holds (state.py).
"""

import functools
import logging
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from segwright.bundle import DESCRIPTION, BundleWriter, read_description
from segwright.checks.classes import settle_classes
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.checks.prepare import CheckedData, Streams, prepare
from segwright.data.channels import Channels
from segwright.devices import choose_device, choose_precision, limit_threads
from segwright.errors import BundleError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.mxnet import find_model, is_mxnet_model
from segwright.networks import check_backbone
from segwright.resources import keep_freed_memory
from segwright.stopping import StopRequest, StopRequested, stop_on_signals
from segwright.training.checkpoint_state import TrainProgress, is_of_job, load_checkpoint
from segwright.training.checkpoints import Checkpoint, CheckpointFolder
from segwright.training.data_loaders import TrainingData
from segwright.training.description import check_another, describe, description_in, former_of, is_of
from segwright.training.distributed import join_processes
from segwright.training.early_stopping import EarlyStopping
from segwright.training.initialization import Former, ImageSpec, check_same_network, follow, start_network
from segwright.training.loss import balancing_weights
from segwright.training.reporter import ConsoleReporter, Reporter, log_recipe
from segwright.training.stream_setup import open_feeds, open_streams
from segwright.training.streams import StreamIdentity, compare_streams
from segwright.training.train_step import TrainState
from segwright.training.trainer import Outputs, Trainer

logger = logging.getLogger(__name__)

CHECKPOINT_EVERY: Final = 600.0
"""Seconds from one checkpoint within an epoch to the next, unless told otherwise."""


def train(
    channels: Channels,
    output: Path | str,
    hyperparameters: Hyperparameters | None = None,
    *,
    class_names: Path | str | None = None,
    start_from: Path | str | None = None,
    checkpoints: Path | str | None = None,
    checkpoint_every: float | None = CHECKPOINT_EVERY,
    resume: bool = False,
    device: str | None = None,
    strict: bool = False,
    overwrite: bool = False,
    in_place: bool = False,
    stop: StopRequest | None = None,
    reporter: Reporter | None = None,
    job: str | None = None,
) -> None:
    """Train a network on the four channels and leave a bundle at `output`.

    `start_from` names a bundle whose weights the training starts from. Checkpoints are written to `checkpoints`, by
    default `output` with `.checkpoints` after it, at the end of every epoch and every `checkpoint_every` seconds (None:
    there are none); with `resume` the training goes on from the newest, or starts anew where there is none. `in_place`
    says that `output` is a folder made for this training alone, which is filled whatever an earlier process left in it.
    Started by `torchrun`, all its processes train together and the first one writes. `stop` is a wish to stop that may
    have been made already; `reporter` is told what happens. `job` names the training job where a platform has jobs,
    whose checkpoints are of its own data even where a stream cannot show it.

    Raises a UserError for data, settings or an output that have to be mended, and KeyboardInterrupt after Ctrl-C or
    SIGTERM, when everything learnt so far is saved: nothing, and no bundle, where the data were still read.
    """
    settings = hyperparameters or Hyperparameters()
    output, start = Path(output), Path(start_from) if start_from else None
    kept = checkpoint_every is not None
    folder = CheckpointFolder(Path(checkpoints) if checkpoints else _beside(output)) if kept else None
    stop = stop or StopRequest()
    keep_freed_memory()
    with join_processes() as processes:
        limit_threads(processes.local_world_size)
        start = start and find_model(start)
        place = choose_device(device, processes.local_rank)
        precision = choose_precision(settings.precision_dtype, place)
        log_recipe(settings)
        checkpoint, writer = processes.first_computes(lambda: _outputs(output, folder, resume, overwrite, in_place))
        former = processes.first_computes(functools.partial(_former, checkpoint, start))
        settings = follow(settings, former.network) if former else settings
        if former and checkpoint is None:
            check_same_network(settings, former.network)
        check_backbone(settings.backbone, settings.backbone_weights)
        names, usual = Path(class_names) if class_names else None, former.class_names if former else None
        classes = processes.first_computes(lambda: settle_classes(channels, settings.num_classes, names, usual))
        streams = open_streams(channels, processes)
        try:
            data = processes.first_computes(
                lambda: prepare(
                    channels,
                    classes,
                    settings,
                    requested=_network_format(former) if former else None,
                    streams=streams,
                    strict=strict,
                    while_reading=stop.check,
                )
            )
        except StopRequested:
            raise KeyboardInterrupt from None
        settings = _counted(settings, data)
        torch.manual_seed(settings.seed)
        network = start_network(settings, data.class_names, _images(data), start, former, blank=checkpoint is not None)
        torch.manual_seed(settings.seed + processes.rank)  # dropout must differ between processes
        weights = _class_weights(settings, data)
        trainer = TrainState(network, settings, processes, place, precision, weights)
        progress = TrainProgress(
            EarlyStopping(settings),
            started_from=str(start) if start else None,
            streams={split: StreamIdentity.begin(stream.begun) for split, stream in streams.items()},
            job=job,
        )
        if checkpoint is not None:
            _resume(trainer, data, progress, checkpoint, streams, stop)
            checkpoint = None  # it holds all weights once more
            if start and progress.started_from != str(start):
                logger.warning(f"--from {start} is not used: what is resumed started from {progress.started_from}")
        with (
            stop_on_signals(stop),
            open_feeds(channels, streams, settings, processes, progress.streams, stop.check) as feeds,
        ):
            outputs = Outputs(writer, folder, checkpoint_every or 0)
            reporter = reporter or ConsoleReporter(settings.logging_frequency)
            Trainer(trainer, TrainingData(data, feeds, strict), progress, outputs, stop, reporter).run()


def _resume(
    trainer: TrainState,
    data: CheckedData,
    progress: TrainProgress,
    checkpoint: Checkpoint,
    streams: Streams,
    stop: StopRequest,
) -> None:
    """Let a training go on from a checkpoint. Raises UserError for one of another training, and KeyboardInterrupt for
    a wish to stop while streams are compared.
    """
    now, processes = describe(trainer.network.spec, trainer.settings, data, progress), trainer.processes
    processes.first_computes(functools.partial(check_another, checkpoint, now, trainer.settings))
    load_checkpoint(trainer, progress, checkpoint, description_in(checkpoint))
    if data.train.complete:
        return
    try:
        compare_streams(
            streams,
            progress.streams,
            processes,
            finished=progress.finished,
            same_job=bool(is_of_job(checkpoint, progress.job)),
            while_reading=stop.check if processes.world_size == 1 else lambda: None,  # several stop only together
        )
    except StopRequested:
        raise KeyboardInterrupt from None


def _beside(output: Path) -> Path:
    target = output.resolve()
    return target.with_name(target.name + ".checkpoints")


def _outputs(
    output: Path, folder: CheckpointFolder | None, resume: bool, overwrite: bool, in_place: bool
) -> tuple[Checkpoint | None, BundleWriter]:
    """The checkpoint to go on from, if any, and the writer of the bundle; what stands in their way is refused."""
    if folder is None:
        return None, BundleWriter(output, overwrite, goes_on=in_place)
    if folder.path.resolve().is_relative_to(output.resolve()):
        raise UserError(
            f"the checkpoints ({folder.path}) would lie within the output ({output}), which is replaced as a whole: "
            "name another folder with --checkpoints"
        )
    checkpoint = folder.newest() if resume else None
    if checkpoint is None:
        folder.begin(overwrite or resume)
    goes_on = in_place or (checkpoint is not None and _is_of(checkpoint, output))
    writer = BundleWriter(output, overwrite, goes_on=goes_on)
    if resume:
        where = "no usable checkpoint: the training starts anew" if checkpoint is None else "resuming"
        logger.info(f"{folder.path}: {where}")
    return checkpoint, writer


def _former(checkpoint: Checkpoint | None, start: Path | None) -> Former | None:
    """What an earlier training says of the network: the one that is resumed, or the one that is started from."""
    if checkpoint is not None:
        return former_of(description_in(checkpoint))
    if start is None:
        return None
    if is_mxnet_model(start):
        raise BundleError(
            f"{start} is a model of SageMaker's original algorithm: make a bundle of it with "
            f"`segwright import-model {start} BUNDLE`, and start the training --from BUNDLE"
        )
    return former_of(read_description(start))


def _is_of(checkpoint: Checkpoint, bundle: Path) -> bool:
    """Whether what lies at `bundle` was written by the training that a checkpoint is of."""
    return (bundle / DESCRIPTION).is_file() and is_of(checkpoint, read_description(bundle))


def _network_format(former: Former) -> RequestedFormat:
    network = former.network
    return RequestedFormat(network.bands, network.bit_depth, network.upright, network.numbers)


def _images(data: CheckedData) -> ImageSpec:
    """What a new network is shown: images of other kinds than 8-bit colour are normalised by their own statistics."""
    form, bands = data.form, data.train.bands
    return ImageSpec(
        form.bands,
        form.bit_depth,
        form.exif_transposed,
        bands.mean if bands else None,
        bands.std if bands else None,
        form.numbers,
    )


def _class_weights(settings: Hyperparameters, data: CheckedData) -> Tensor | None:
    if settings.class_weights == "none":
        return None
    if not data.train.complete:
        raise UserError(
            "class_weights auto needs the pixels of all masks counted, which a stream does not allow: leave it none, "
            "or give the manifest itself in place of Pipe mode."
        )
    return balancing_weights(data.train.histogram)


def _counted(settings: Hyperparameters, data: CheckedData) -> Hyperparameters:
    """Fill in what the data say: the numbers of classes and bands, the true number of samples, the largest batch."""
    samples = len(data.train.pairs) if data.train.complete else settings.num_training_samples
    if samples is None:
        raise UserError(
            "In Pipe mode nobody knows how many pairs will come, and the learning rate's schedule depends on it: give "
            "num_training_samples. After the first epoch the true number is used."
        )
    if settings.num_training_samples not in (None, samples):
        logger.warning(
            f"num_training_samples is {settings.num_training_samples}, but there are {samples} training pairs: "
            f"the schedule follows the {samples}"
        )
    if settings.mini_batch_size > samples:
        logger.info(
            f"mini_batch_size is {settings.mini_batch_size}, but there are {samples} pairs: a batch holds them all"
        )
    return settings.model_copy(
        update={
            "num_classes": data.num_classes,
            "bands": settings.bands or data.form.bands,
            "num_training_samples": samples,
            "mini_batch_size": min(settings.mini_batch_size, samples),
        }
    )
