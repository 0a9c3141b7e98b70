"""A training from channels to a bundle: its stages, up to the first step."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from segwright.bundle import Description, describe, read_description
from segwright.checks.classes import settle_classes
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.checks.prepare import CheckedData, Streams, prepare
from segwright.data.channels import Channels
from segwright.devices import choose_device, choose_precision, limit_threads
from segwright.errors import BundleError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.mxnet import find_model, is_mxnet_model
from segwright.networks import SegmentationNetwork, check_backbone
from segwright.resources import keep_freed_memory
from segwright.stopping import StopRequest, StopRequested, stop_on_signals
from segwright.training.checkpoint_state import TrainProgress, load_checkpoint
from segwright.training.checkpoints import Checkpoint, CheckpointFolder, CheckpointPolicy
from segwright.training.data_loaders import TrainingData, open_streams, read_streams
from segwright.training.distributed import Distributed, join_processes
from segwright.training.initialization import check_same_network, inherit_settings, network_spec, start_network
from segwright.training.loss import balancing_weights
from segwright.training.reporter import ConsoleReporter, Reporter, log_recipe
from segwright.training.resumed_streams import StreamIdentity, compare_streams
from segwright.training.train_step import TrainState
from segwright.training.trainer import Trainer
from segwright.wording import counted

logger = logging.getLogger(__name__)

CHECKPOINT_EVERY: Final = 600.0  # seconds


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
    """Train a network on the four channels and leave a bundle at `output`; under `torchrun`, in all its processes.

    `start_from` names a bundle whose weights the training starts from. Checkpoints are written to `checkpoints`, by
    default `output` with `.checkpoints` after it, after every epoch and every `checkpoint_every` seconds (None: never);
    with `resume` the training goes on from the newest, or starts anew where there is none. `in_place`: `output` was
    made for this training and is filled whatever lies there. `job` names the training job where a platform has jobs,
    whose checkpoints are of its own data even where a stream cannot show it.

    Raises UserError for data, settings or an output that have to be mended, and KeyboardInterrupt after Ctrl-C,
    SIGTERM or `stop`, when everything learnt so far is saved: nothing, and no bundle, where the data were still read.
    """
    output = Path(output)
    usual = output.resolve().with_name(output.resolve().name + ".checkpoints")
    folder = None if checkpoint_every is None else CheckpointFolder(Path(checkpoints) if checkpoints else usual)
    policy = CheckpointPolicy(folder, checkpoint_every or 0, resume, overwrite, in_place)
    names, start = (Path(path) if path else None for path in (class_names, start_from))
    settings = hyperparameters or Hyperparameters()
    keep_freed_memory()
    try:
        with join_processes() as processes:
            run = _Run(channels, output, settings, policy, names, start, strict, stop or StopRequest(), job, processes)
            run.train(device, reporter)
    except StopRequested:
        raise KeyboardInterrupt from None


@dataclass
class _Run:
    """One training in one process; `settings` are completed stage by stage."""

    channels: Channels
    output: Path
    settings: Hyperparameters
    checkpoints: CheckpointPolicy
    class_names: Path | None
    start: Path | None
    strict: bool
    stop: StopRequest
    job: str | None
    processes: Distributed

    def train(self, device_name: str | None, reporter: Reporter | None) -> None:
        processes = self.processes
        limit_threads(processes.local_world_size)
        self.start = self.start and find_model(self.start)
        device = choose_device(device_name, processes.local_rank)
        precision = choose_precision(self.settings.precision_dtype, device)
        log_recipe(self.settings)
        checkpoint, writer = processes.compute_on_main(lambda: self.checkpoints.open(self.output))
        parent = processes.compute_on_main(lambda: checkpoint.description if checkpoint else self.read_parent())
        if parent:
            self.settings = inherit_settings(self.settings, parent.network)
            if checkpoint is None:
                check_same_network(self.settings, parent.network)
        check_backbone(self.settings.backbone, self.settings.backbone_weights)
        streams = open_streams(self.channels, processes)
        prepared = self.prepare(parent, streams)
        self.settings = _complete(self.settings, prepared)
        network = self.build_network(prepared, parent, blank=checkpoint is not None)
        state = TrainState(
            network, self.settings, processes, device, precision, _class_weights(self.settings, prepared)
        )
        description = describe(
            network.spec,
            self.settings,
            prepared.class_names,
            (prepared.train.label_map, prepared.validation.label_map),
            palette=prepared.palette,
            data=prepared.to_json(),
            started_from=self.start,
        )
        known = {split: StreamIdentity.begin(stream.begun) for split, stream in streams.items()}
        progress = TrainProgress(streams=known, job=self.job)
        if checkpoint is not None:
            description = self.resume(state, progress, description, checkpoint, streams)
            checkpoint = None  # It holds all weights once more.
        opened = read_streams(self.channels, streams, self.settings, processes, known, self.stop.check)
        with stop_on_signals(self.stop), opened as readers:
            data = TrainingData(prepared, readers, self.settings, processes, self.strict)
            reporter = reporter or ConsoleReporter(self.settings.logging_frequency)
            Trainer(state, data, progress, description, writer, self.checkpoints, self.stop, reporter).run()

    def read_parent(self) -> Description | None:
        """The model to start from."""
        if self.start is not None and is_mxnet_model(self.start):
            raise BundleError(
                f"{self.start} is a model of SageMaker's original algorithm: make a bundle of it with "
                f"`segwright import-model {self.start} BUNDLE`, and start from BUNDLE."
            )
        return read_description(self.start) if self.start else None

    def prepare(self, parent: Description | None, streams: Streams) -> CheckedData:
        """Check the data."""
        settings, usual_names = self.settings, parent.class_names if parent else None
        requested = RequestedFormat.exactly(parent.network.pixel_format) if parent else None
        classes = self.processes.compute_on_main(
            lambda: settle_classes(self.channels, settings.num_classes, self.class_names, usual_names)
        )
        return self.processes.compute_on_main(
            lambda: prepare(
                self.channels,
                classes,
                settings,
                requested=requested,
                streams=streams,
                strict=self.strict,
                while_reading=self.stop.check,
            )
        )

    def build_network(self, prepared: CheckedData, parent: Description | None, *, blank: bool) -> SegmentationNetwork:
        like = parent.network if parent else prepared.train.bands
        spec = network_spec(self.settings, prepared.num_classes, prepared.form, like)
        torch.manual_seed(self.settings.seed)
        network = start_network(spec, self.settings, prepared.class_names, self.start, blank=blank)
        torch.manual_seed(self.settings.seed + self.processes.rank)  # Dropout must differ between processes.
        return network

    def resume(
        self, state: TrainState, progress: TrainProgress, now: Description, checkpoint: Checkpoint, streams: Streams
    ) -> Description:
        """Restore a training from a checkpoint; return its description. Raises UserError for another training's."""
        processes, started_from = self.processes, checkpoint.description.started_from
        processes.compute_on_main(lambda: checkpoint.check_resumable(self.settings, now))
        load_checkpoint(state, progress, checkpoint)
        if self.channels.input_mode != "File":
            compare_streams(
                streams,
                progress.streams,
                processes,
                finished=progress.finished,
                same_job=bool(checkpoint.is_of_job(self.job)),
                # Several processes stop only together.
                while_reading=self.stop.check if processes.world_size == 1 else lambda: None,
            )
        if self.start and started_from != str(self.start):
            logger.warning(f"start_from {self.start} is not used: the resumed training started from {started_from}")
        return now.model_copy(update={"started_from": started_from})


def _class_weights(settings: Hyperparameters, data: CheckedData) -> Tensor | None:
    if settings.class_weights == "none":
        return None
    if not data.train.complete:
        raise UserError(
            "class_weights auto needs the pixels of all masks counted, which a stream does not allow: leave it none, "
            "or give the manifest itself in place of Pipe mode."
        )
    return balancing_weights(data.train.histogram)


def _complete(settings: Hyperparameters, data: CheckedData) -> Hyperparameters:
    """Fill in what the data show: the numbers of classes, bands and samples, and the largest batch."""
    given, samples = settings.num_training_samples, len(data.train.pairs) if data.train.complete else None
    if samples is None and given is None:
        raise UserError(
            "Give num_training_samples: in Pipe mode the number of pairs is not known beforehand, and the learning "
            "rate's schedule depends on it. After the first epoch the true number is used."
        )
    if samples and given not in (None, samples):
        logger.warning(
            f"num_training_samples is {given}, but there are {counted(samples, 'training pair')}: the schedule follows "
            "those"
        )
    samples, batch = samples or given or 0, settings.mini_batch_size
    if batch > samples:
        logger.info(f"mini_batch_size is {batch}, but there are {counted(samples, 'pair')}: a batch holds them all")
    known = {"num_classes": data.num_classes, "bands": settings.bands or data.form.bands}
    return settings.model_copy(
        update={**known, "num_training_samples": samples, "mini_batch_size": min(batch, samples)}
    )
