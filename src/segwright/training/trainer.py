"""The epochs of a training: train, validate, save, and stop early or on request."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial

import torch

from segwright.bundle import BundleWriter, Description, State, host_copy
from segwright.data.channels import Split
from segwright.data.loader import Batch
from segwright.errors import UserError
from segwright.evaluation import ConfusionMatrix, Scores
from segwright.networks import SegmentationNetwork
from segwright.stopping import StopRequest, StopRequested
from segwright.training.checkpoint_state import TrainProgress, to_checkpoint
from segwright.training.checkpoints import CheckpointFolder
from segwright.training.data_loaders import TrainingData
from segwright.training.diagnosis import Diagnosis
from segwright.training.inference_settings import InferenceSettings
from segwright.training.optimizers import updates_per_epoch
from segwright.training.reporter import (
    AdvanceImages,
    EpochResult,
    Reporter,
    log_estimate,
    log_start,
    log_training_advice,
)
from segwright.training.resumed_streams import end_pass
from segwright.training.schedule import Schedule
from segwright.training.train_step import EpochSums, TrainState
from segwright.training.validation import estimate_seconds, validation_predictions
from segwright.wording import counted, sentences

logger = logging.getLogger(__name__)


class Trainer:
    """Trains epoch after epoch, from where `progress` is to the end."""

    def __init__(
        self,
        state: TrainState,
        data: TrainingData,
        progress: TrainProgress,
        description: Description,
        writer: BundleWriter,
        checkpoints: CheckpointFolder | None,
        stop: StopRequest,
        reporter: Reporter,
        elapsed: Callable[[], float],
    ) -> None:
        """`elapsed` gives the seconds since the command began, with those of the processes before."""
        self.state, self.data, self.progress, self.description = state, data, progress, description
        self.writer, self.checkpoints, self.stop = writer, checkpoints, stop
        self.settings, self.processes = state.settings, state.processes
        self.reporter = reporter if self.processes.is_main else Reporter()
        self.loader = data.train_loader(progress.stream_pairs, pin_memory=state.device.type == "cuda")
        per_epoch = updates_per_epoch(self.settings, self.loader.count)
        self._inference = InferenceSettings(state, data, elapsed)
        after = self._inference.validations, self._inference.seconds
        self.schedule = Schedule(self.settings, progress.timing, per_epoch, state.updates, *after)
        self._elapsed, self._last_checkpoint = elapsed, elapsed()
        self._diagnosis, self._estimated = Diagnosis(), False

    def run(self) -> None:
        """Train, validate and save, epoch after epoch.

        Raises StopRequested, when everything learnt so far is saved.
        """
        log_start(self.state, self.progress, self.loader.count, self.schedule)
        try:
            complete = self._take_settled()
            if self.progress.finished and not complete:  # The process before may have been killed before it wrote this.
                self._write_bundle(host_copy(self.state.network))
            elif not self.progress.finished:
                timing = self.progress.timing
                timing.validation = timing.validation or estimate_seconds(self.state, self.data, self._elapsed)
                timing.elapsed = self._elapsed()
                log_training_advice(self.settings, self.data.prepared, self.schedule)
            self.reporter.on_train_start(self.settings, self.schedule.updates_per_epoch, self.progress)
            while not self.progress.finished:
                self._checkpoint_or_stop()  # The request to stop may be older than the training.
                self._train()
                if self.schedule.validates_after(self.progress.epoch + 1):
                    self._validate()
                else:
                    self._count_epoch()
            if not complete:
                self._settle_inference()
        except StopRequested:
            self._save_interrupted()
            raise
        except torch.OutOfMemoryError as error:
            raise UserError(
                "The device has too little memory: try accumulation 2 (or 4, 8), a smaller crop_size or "
                f"mini_batch_size, or precision_dtype auto ({str(error).splitlines()[0]})."
            ) from error
        if self.checkpoints is not None and self.processes.is_main:
            self.checkpoints.end()
        self.reporter.on_train_end(self.progress, self.writer.path)

    def _train(self) -> None:
        epoch, sums = self.progress.epoch, self.progress.sums
        samples = self.loader.samples(epoch, sums.batches)
        self.schedule.begin_epoch()
        with self.reporter.training(epoch, samples, sums, self.schedule) as advance:

            def after_step(images: int) -> None:
                advance(images)
                self._checkpoint_or_stop()
                self.schedule.count_update()
                if self.schedule.is_measured and not self._estimated:
                    log_estimate(self.settings, self.schedule)
                    self._estimated = True

            batches = self._in_time(self.loader.epoch(epoch, sums.batches))
            self.state.train_epoch(batches, self.schedule.learning_rate, sums, after_step)
        if self.data.streams and not self.schedule.time_is_used:  # A pass that was broken off is not compared.
            self._end_pass("train", self.loader.skipped)
            self.progress.stream_pairs = self.loader.count  # Known only now.
            self.schedule.follow(self.loader.count)
        if not self.progress.training_reported:
            self.reporter.on_epoch_trained(epoch, sums)
            self.progress.training_reported = True

    def _in_time(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches, at least one, until the time is used."""
        if self.progress.training_reported and self.schedule.time_is_used:
            return  # The process before has trained the epoch as far as time allowed.
        for batch in batches:
            yield batch
            if self.schedule.time_is_used:
                return

    def _end_pass(self, split: Split, skipped: list[str]) -> None:
        """After a pass over a stream: compare its pairs with what is known, and log which were skipped."""
        end_pass(split, self.data.streams[split].seen, self.progress.streams.get(split), self.processes)
        everywhere = [sentence for share in self.processes.gather(skipped) for sentence in share]
        skipped.clear()
        if everywhere:
            pairs = f"{counted(len(everywhere), 'pair')} of the stream in epoch {self.progress.epoch + 1}"
            logger.warning(f"{split}: skipped {pairs}: {sentences(everywhere, 20)}")

    def _validate(self) -> None:
        start, report = self._elapsed(), partial(self.reporter.validating, self.progress.epoch)
        scores, images = self._score(self.state.network, self.settings.validation_scale, report)
        self._finish_epoch(scores, images, start)

    def _score(
        self,
        network: SegmentationNetwork,
        scale: float,
        report: Callable[[int], AbstractContextManager[AdvanceImages]],
    ) -> tuple[Scores, int]:
        """Score a network on the validation images at `scale`, each process its share; return also how many they are.

        Raises StopRequested, in all processes together.
        """
        images, skipped, prepared, processes = 0, list[str](), self.data.prepared, self.processes
        processes.broadcast_buffers(network)
        pairs, expected, check = self.data.validation_pairs(self.progress.epoch)
        matrix = ConfusionMatrix(prepared.num_classes)
        with report(expected * processes.world_size) as advance:
            # All processes stop together, below: the others may be waiting there already.
            with processes.raise_on_all(), suppress(StopRequested):
                samples = validation_predictions(network, scale, self.state, self.data, pairs, check, skipped)
                for labels, prediction in samples:
                    matrix.update(labels, prediction)
                    images += 1
                    advance(processes.world_size)
                    self.stop.check()
            self._checkpoint_or_stop()
        if self.data.streams:
            self._end_pass("validation", skipped)
        processes.sum(torch.from_numpy(matrix.counts))
        return matrix.scores(prepared.class_names), int(processes.sum(torch.tensor(images)))

    def _take_settled(self) -> bool:
        """Whether the training is finished and its bundle holds what `_settle_inference` found, which checkpoints do
        not; take it.
        """
        bundle = self.processes.compute_on_main(self.writer.read_own) if self.progress.finished else None
        known = None if bundle is None else self._inference.known(bundle)
        if bundle is None or known is None:
            return False
        self.progress.best = bundle.metrics["best"]
        self.description = self.description.model_copy(update=known)
        return True

    def _settle_inference(self) -> None:
        """At the end: find out how the best weights are used, and write the bundle that says so. A checkpoint never
        holds it, because further epochs would be compared with the scores at another scale.
        """
        best, weights = self.progress.best, self.progress.best_weights
        if best is None or weights is None:
            return
        self._checkpoint_or_stop()
        settled = self._inference.find(
            weights,
            best,
            self.progress.timing.validation,
            lambda network, scale: self._score(network, scale, partial(self.reporter.trying_scale, scale))[0],
            self._checkpoint_or_stop,
            self.stop.check,
        )
        self.progress.best = settled.scores
        before, self.description = self.description, self.description.model_copy(update=settled.fields)
        if self.description != before or settled.scores is not best:
            self._write_bundle(host_copy(self.state.network), settled.weights)

    def _finish_epoch(self, scores: Scores, images: int, start: float) -> None:
        """Record an epoch, whose validation began at `start`; write a checkpoint, then the bundle, which a resumed
        training can write again.
        """
        progress, sums, seconds = self.progress, self.progress.sums, self._elapsed() - start
        self._count_epoch(scores, seconds)
        progress.last = {"epoch": progress.epoch, **scores.to_json()}
        improved = progress.best is None or scores.mean_iou > progress.best["mean_iou"]
        weights = host_copy(self.state.network)
        if improved:
            progress.best, progress.best_weights = progress.last, weights
        stopped_early = progress.stopping.update(self.settings, progress.epoch - 1, scores.mean_iou)
        if stopped_early:
            logger.info(f"stopped early after epoch {progress.epoch}: the mean IoU no longer grows")
        progress.finished = stopped_early or self.schedule.ends_after(progress.epoch)
        self._save_checkpoint()
        share = self.schedule.share
        result = EpochResult(progress.epoch - 1, self.schedule.epochs, share, sums, scores, improved, images, seconds)
        self.reporter.on_validated(result)  # After the checkpoint: a resumed training must not report it again.
        self._write_bundle(weights)
        self.reporter.on_saved(result, self.writer.path)
        if not progress.finished:
            for warning in self._diagnosis.warnings(progress.last, progress.records, share):
                logger.warning(warning)
        progress.timing.validation = max(self.processes.gather(self._elapsed() - start))

    def _count_epoch(self, scores: Scores | None = None, seconds: float = 0.0) -> None:
        """Record an epoch, with the scores of its validation, if it had one, which took so many `seconds`."""
        progress, sums = self.progress, self.progress.sums
        progress.epoch += 1
        record = {"epoch": progress.epoch, "updates": self.state.updates, **sums.to_json()}
        record["seconds"] = round(sums.seconds + seconds, 3)
        progress.records.append({**record, **({"validation": scores.to_json()} if scores else {})})
        progress.sums, progress.training_reported = EpochSums(), False

    def _checkpoint_or_stop(self) -> None:
        """Between two steps: agree on the time, write a checkpoint where one is due, and stop on request, in all
        processes together.
        """
        now = self._elapsed()
        due = self.checkpoints is not None and now - self._last_checkpoint >= self.checkpoints.every
        own = [self.stop.made, *((due, now) if self.processes.is_main else (0, 0))]
        # On the host, which must not wait for a device here.
        stop, write, self.progress.timing.elapsed = self.processes.sum(torch.tensor(own, dtype=torch.float64)).tolist()
        if write and not stop:
            self._save_checkpoint()
        if stop:  # Never the other way round: a request may come in meanwhile.
            self.stop.made = True
        self.stop.check()

    def _save_checkpoint(self) -> bool:
        """Write a checkpoint; where that fails, the training goes on. Return whether it was written."""
        self.state.read_losses(self.progress.sums)
        if self.checkpoints is None:
            return False
        for split, stream in self.data.streams.items():
            if (seen := stream.seen) is not None:
                self.progress.streams[split].add(seen)
        checkpoint = to_checkpoint(self.state, self.progress, self.description)
        self._last_checkpoint = self._elapsed()
        if checkpoint is None:
            return False
        try:
            self.checkpoints.save(checkpoint)
        except UserError as error:
            logger.warning(f"{error}; training continues without it")
            return False
        return True

    def _save_interrupted(self) -> None:
        """Save what was learnt since the last epoch ended; the best weights stay the best ones."""
        advice = "; continue with resume" if self._save_checkpoint() else ""
        path = self.writer.path
        if self.processes.is_main and self.writer.keeps_older:
            logger.warning(f"interrupted before the first validation: {path} keeps the model it held{advice}")
        elif self.processes.is_main:
            self._write_bundle(host_copy(self.state.network))
            kind = "its best epoch's weights" if self.progress.best else "the weights as they are, not validated"
            logger.warning(f"interrupted: {path} holds a usable model ({kind}){advice}")

    def _write_bundle(self, last: State, best: State | None = None) -> None:
        """Write the bundle, on rank 0; `best` are other weights than those that scored best so far."""
        if self.processes.is_main:
            best = best or self.progress.best_weights or last
            description = self.progress.complete(self.description)
            self.writer.save(description, last=last, best=best, records=self.progress.records)
