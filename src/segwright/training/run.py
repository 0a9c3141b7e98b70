"""A training from channels to a bundle: its stages, up to the first step."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from segwright.bundle import Description, describe, read_description
from segwright.checks.classes import Classes, settle_classes
from segwright.checks.label_statistics import measure_labels
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.checks.prepare import CheckedData, Streams, prepare
from segwright.data.channels import Channels
from segwright.devices import choose_device, choose_precision, limit_threads
from segwright.distributed import ALONE, Distributed, join_processes
from segwright.errors import BundleError, HyperparameterError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.inference import Model, PyTorchRuntime, load
from segwright.mxnet import find_model, is_mxnet_model
from segwright.networks import check_network
from segwright.resources import keep_freed_memory
from segwright.stopping import StopRequest, StopRequested, stop_on_signals
from segwright.training.checkpoint_state import TrainProgress, load_checkpoint
from segwright.training.checkpoints import Checkpoint, CheckpointPolicy
from segwright.training.data_loaders import TrainingData, open_streams, read_streams
from segwright.training.initialization import (
    check_same_network,
    inherit_settings,
    resumed_settings,
    start_network,
)
from segwright.training.loss import class_weights, prior_bias
from segwright.training.reporter import ConsoleReporter, Reporter, log_recipe
from segwright.training.resumed_streams import StreamIdentity, compare_streams
from segwright.training.rules import Circumstances, Reasons, apply_choices, choose_backbone, choose_settings
from segwright.training.train_step import TrainState
from segwright.training.trainer import Trainer
from segwright.wording import counted

logger = logging.getLogger(__name__)


def train(
    channels: Channels,
    output: Path | str,
    hyperparameters: Hyperparameters | None = None,
    *,
    class_names: Path | str | None = None,
    start_from: Path | str | None = None,
    checkpoints: CheckpointPolicy | None = None,
    device: str | None = None,
    strict: bool = False,
    started: float | None = None,
) -> Model:
    """Train a network on the four channels and leave a bundle at `output`; under `torchrun`, in all its processes.

    Returns the model with the best weights, as `load` would, in each process on its device. `start_from` names a
    bundle whose weights the training starts from. With `strict` a pair that cannot be used ends the training; without,
    it is left out. `started` is when the command began, on the clock of `time.monotonic`, if not now. Raises as
    `Training.run` does.
    """
    names, start = (Path(path) if path else None for path in (class_names, start_from))
    settings = hyperparameters or Hyperparameters()
    policy = checkpoints or CheckpointPolicy()
    return Training(channels, Path(output), settings, policy, start, names, device, strict, started=started).run()


@dataclass
class Training:
    """One training in one process; `settings` are completed stage by stage."""

    channels: Channels
    output: Path
    settings: Hyperparameters
    checkpoints: CheckpointPolicy
    start_from: Path | None = None
    class_names: Path | None = None
    device: str | None = None
    strict: bool = False
    stop: StopRequest = field(default_factory=StopRequest)
    reporter: Reporter | None = None
    processes: Distributed = ALONE
    clock: Callable[[], float] = time.monotonic
    reasons: Reasons = field(default_factory=dict)  # why rules chose what they chose
    started: float | None = None  # when the command began, on this clock; None: with `run`

    def run(self) -> Model:
        """Train, in all processes of `torchrun` together; return the model with the best weights.

        Raises UserError for data, settings or an output that have to be mended, and KeyboardInterrupt after Ctrl-C,
        SIGTERM or `stop`, when everything learnt so far is saved: nothing, and no bundle, where the data were still
        read.
        """
        keep_freed_memory()
        self.started = self.clock() if self.started is None else self.started
        try:
            with join_processes() as self.processes:
                return self._run()
        except StopRequested:
            raise KeyboardInterrupt from None

    def _run(self) -> Model:
        processes = self.processes
        limit_threads(processes.local_world_size)
        self.start_from = self.start_from and find_model(self.start_from)
        device = choose_device(self.device, processes.local_rank)
        log_recipe(self.settings)
        folder = self.checkpoints.folder(self.output)
        if processes.compute_on_main(lambda: self.checkpoints.is_finished(folder, self.output, self.settings)):
            return load(self.output, device.type)
        checkpoint, writer = processes.compute_on_main(lambda: self.checkpoints.open(folder, self.output))
        parent = processes.compute_on_main(lambda: checkpoint.description if checkpoint else self.read_parent())
        self._settle_network(parent, device, resuming=checkpoint is not None)
        precision = choose_precision(self.settings.precision_dtype, device)
        streams = open_streams(self.channels, processes)
        prepared = self._prepare(parent, streams)
        if self.settings.recipe == "best" and checkpoint is None:
            self.settings = self._configure(prepared, device)
        self.settings = _complete(self.settings, prepared)
        state = self._build_state(prepared, parent, device, precision, resuming=checkpoint is not None)
        description = describe(
            state.network.spec,
            self.settings,
            prepared.class_names,
            (prepared.train.label_map, prepared.validation.label_map),
            palette=prepared.palette,
            data=prepared.to_json(),
            started_from=self.start_from,
            reasons=self.reasons,
        )
        known = {split: StreamIdentity.begin(stream.begun) for split, stream in streams.items()}
        progress = TrainProgress(streams=known, job=self.checkpoints.job)
        if checkpoint is not None:
            description = self._resume(state, progress, description, checkpoint, streams)
            checkpoint = None  # It holds all weights once more.
        opened = read_streams(self.channels, streams, self.settings, processes, known, self.stop.check)
        with stop_on_signals(self.stop), opened as readers:
            data = TrainingData(prepared, readers, self.settings, processes, self.strict)
            reporter = self.reporter or ConsoleReporter(self.settings.logging_frequency)
            elapsed = self._stopwatch(progress.timing.elapsed)
            trainer = Trainer(state, data, progress, description, writer, folder, self.stop, reporter, elapsed)
            trainer.run()
        if progress.best_weights is not None:
            state.network.load_state_dict(progress.best_weights)
        return Model(progress.complete(trainer.description), PyTorchRuntime(state.network.eval()))

    def _stopwatch(self, before: float) -> Callable[[], float]:
        """The seconds since the command began, after `before` in the processes that it continues."""
        beginning = (self.started or 0.0) - before
        return lambda: self.clock() - beginning

    def _settle_network(self, parent: Description | None, device: torch.device, *, resuming: bool) -> None:
        """Settle what is known before the data are read: by `parent`, the checkpoint's or the model to start from, or
        else by the device. Raises UserError for a network or weights that cannot be had.
        """
        if parent:
            self.inherit(parent, resuming=resuming)
        elif self.settings.recipe == "best":
            self.settings = apply_choices(self.settings, choose_backbone(self.settings, device.type), self.reasons)
        given, fresh = self.settings, parent is None
        weights, published = given.backbone_weights if fresh else None, fresh and given.use_pretrained_model
        check_network(given.algorithm, given.backbone, weights, published=published)

    def _build_state(
        self,
        data: CheckedData,
        parent: Description | None,
        device: torch.device,
        precision: torch.dtype,
        *,
        resuming: bool,
    ) -> TrainState:
        """The network with its first weights, unless a checkpoint has them, and all that trains it."""
        settings, start = self.settings, self.start_from
        weights = class_weights(settings, data)
        like = parent.network if parent else data.train.bands
        network = start_network(settings, data.class_names, data.pixel_format, like, start, blank=resuming)
        if settings.recipe == "best" and settings.loss_of_pixels and start is None and not resuming:
            network.set_classifier_bias(prior_bias(data.train.histogram, weights))
        torch.manual_seed(settings.seed + self.processes.rank)  # Dropout must differ between processes.
        return TrainState(network, settings, self.processes, device, precision, weights)

    def read_parent(self) -> Description | None:
        """The model to start from."""
        if self.start_from is not None and is_mxnet_model(self.start_from):
            raise BundleError(
                f"{self.start_from} is a model of SageMaker's original algorithm: make a bundle of it with "
                f"`segwright import-model {self.start_from} BUNDLE`, and start from BUNDLE."
            )
        return read_description(self.start_from) if self.start_from else None

    def inherit(self, parent: Description, *, resuming: bool) -> None:
        """Take settings of the network that were not given from `parent`, and what rules chose where its training is
        resumed. Raises HyperparameterError for another network.
        """
        self.settings = inherit_settings(self.settings, parent.network)
        if not resuming:
            check_same_network(self.settings, parent.network)
        elif self.settings.recipe == "best":
            self.settings = resumed_settings(self.settings, parent)
            self.reasons = dict(parent.reasons)

    def settle_classes(self, parent: Description | None) -> Classes:
        """How many classes there are, their names and label maps, as far as no mask has to be read."""
        usual_names = parent.class_names if parent else None
        return settle_classes(self.channels, self.settings.num_classes, self.class_names, usual_names)

    def _prepare(self, parent: Description | None, streams: Streams) -> CheckedData:
        """Check the data on rank 0."""
        classes = self.processes.compute_on_main(lambda: self.settle_classes(parent))
        return self.processes.compute_on_main(
            lambda: prepare(
                self.channels,
                classes,
                self.settings,
                requested=RequestedFormat.exactly(parent.network.pixel_format) if parent else None,
                streams=streams,
                strict=self.strict,
                while_reading=self.stop.check,
            )
        )

    def _configure(self, data: CheckedData, device: torch.device) -> Hyperparameters:
        """What the rules of the recipe `best` choose by what the labels show, measured on rank 0."""
        if not data.train.complete:
            logger.info("a stream's labels cannot be measured beforehand: nothing is chosen by them, or by the device")
            return self.settings
        labels = self.processes.compute_on_main(
            lambda: measure_labels(
                data.train.pairs,
                data.train.label_map,
                data.num_classes,
                class_names=data.class_names,
                pixel_format=data.pixel_format,
                after_each=self.stop.check,
            )
        )
        known = (device.type, len(data.train.pairs), data.class_names, labels)
        seen = Circumstances(*known, starts_from_model=self.start_from is not None)
        return choose_settings(self.settings, seen, self.reasons)

    def _resume(
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
                same_job=bool(checkpoint.belongs_to_job(self.checkpoints.job)),
                # Several processes stop only together.
                while_reading=self.stop.check if processes.world_size == 1 else lambda: None,
            )
        if (start := self.start_from) and started_from != str(start):
            logger.warning(f"start_from {start} is not used: the resumed training started from {started_from}")
        return now.model_copy(update={"started_from": started_from})


def _complete(settings: Hyperparameters, data: CheckedData) -> Hyperparameters:
    """Fill in what the data show: the numbers of classes, bands and samples, and the largest batch."""
    given, samples = settings.num_training_samples, len(data.train.pairs) if data.train.complete else None
    if samples is None and given is None:
        raise UserError(
            "Give num_training_samples: in Pipe mode the number of pairs is not known beforehand, and the learning "
            "rate's schedule depends on it. After the first epoch the true number is used."
        )
    if samples is None and settings.repeats > 1:
        raise HyperparameterError(
            f"repeats is {settings.repeats}, but an epoch is one pass over a stream: give more epochs instead.",
            name="repeats",
            value=settings.repeats,
        )
    if samples and given not in (None, samples):
        logger.warning(
            f"num_training_samples is {given}, but there are {counted(samples, 'training pair')}: the schedule follows "
            "those"
        )
    samples, batch = samples or given or 0, settings.mini_batch_size
    if batch > samples * settings.repeats:
        logger.info(f"mini_batch_size is {batch}, but there are {counted(samples, 'pair')}: a batch holds them all")
    known = {"num_classes": data.num_classes, "bands": settings.bands or data.pixel_format.bands}
    return settings.model_copy(
        update={**known, "num_training_samples": samples, "mini_batch_size": min(batch, samples * settings.repeats)}
    )
