"""The epochs of a training: train, validate, save, and stop early or on request."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from copy import deepcopy
from functools import partial

import torch

from segwright.bundle import BundleWriter, Description, State, host_copy
from segwright.data.channels import Split
from segwright.errors import UserError
from segwright.evaluation import ConfusionMatrix, Scores, predict_pairs
from segwright.networks import SegmentationNetwork
from segwright.stopping import StopRequest, StopRequested
from segwright.training.checkpoint_state import TrainProgress, to_checkpoint
from segwright.training.checkpoints import CheckpointFolder
from segwright.training.data_loaders import TrainingData
from segwright.training.optimizers import updates_per_epoch
from segwright.training.reporter import AdvanceImages, EpochResult, Reporter, log_start, log_training_advice
from segwright.training.resumed_streams import end_pass
from segwright.training.scale_selection import Trial, describe_selection, select_scale, why_not_selected
from segwright.training.train_step import EpochSums, TrainState
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
    ) -> None:
        self.state, self.data, self.progress, self.description = state, data, progress, description
        self.writer, self.checkpoints, self.stop = writer, checkpoints, stop
        self.settings, self.processes = state.settings, state.processes
        self.reporter = reporter if self.processes.is_main else Reporter()
        self.loader = data.train_loader(progress.stream_pairs, pin_memory=state.device.type == "cuda")
        self.updates_per_epoch = updates_per_epoch(self.settings, self.loader.count)
        self._last_checkpoint = time.monotonic()
        self._validation_seconds: float | None = None  # of the last epoch that this process has validated

    def run(self) -> None:
        """Train, validate and save, epoch after epoch.

        Raises StopRequested, when everything learnt so far is saved.
        """
        log_start(self.state, self.progress, self.loader.count, self.updates_per_epoch)
        if self.progress.finished:  # The process before may have been killed before it wrote the bundle.
            self._write_bundle(host_copy(self.state.network))
        else:
            log_training_advice(self.settings, self.data.prepared, self.updates_per_epoch)
        self.reporter.on_train_start(self.settings, self.updates_per_epoch, self.progress)
        try:
            while not self.progress.finished:
                self._checkpoint_or_stop()  # The request to stop may be older than the training.
                self._train()
                self._validate()
            self._select_scale()
        except StopRequested:
            self._save_interrupted()
            raise
        except torch.OutOfMemoryError as error:
            raise UserError(
                "The device has too little memory: try accumulation 2 (or 4, 8), a smaller crop_size, output_stride "
                f"16, or precision_dtype auto ({str(error).splitlines()[0]})."
            ) from error
        self.reporter.on_train_end(self.progress, self.writer.path)

    def _train(self) -> None:
        epoch, sums = self.progress.epoch, self.progress.sums
        samples = self.loader.samples(epoch, sums.batches)
        with self.reporter.training(epoch, self.settings.epochs, samples, sums) as advance:

            def after_step(images: int) -> None:
                advance(images)
                self._checkpoint_or_stop()

            batches = self.loader.epoch(epoch, sums.batches)
            self.state.train_epoch(batches, self.updates_per_epoch, sums, after_step)
        if self.data.streams:
            self._end_pass("train", self.loader.skipped)
            self._correct_schedule()
        if not self.progress.training_reported:
            self.reporter.on_epoch_trained(epoch, sums)
            self.progress.training_reported = True

    def _end_pass(self, split: Split, skipped: list[str]) -> None:
        """After a pass over a stream: compare its pairs with what is known, and log which were skipped."""
        end_pass(split, self.data.streams[split].seen, self.progress.streams.get(split), self.processes)
        everywhere = [sentence for share in self.processes.gather(skipped) for sentence in share]
        skipped.clear()
        if everywhere:
            pairs = f"{counted(len(everywhere), 'pair')} of the stream in epoch {self.progress.epoch + 1}"
            logger.warning(f"{split}: skipped {pairs}: {sentences(everywhere, 20)}")

    def _correct_schedule(self) -> None:
        """Let the schedule follow the number of pairs in the stream, which is known only when it has ended."""
        self.progress.stream_pairs = self.loader.count
        updates = updates_per_epoch(self.settings, max(self.loader.count, self.settings.mini_batch_size))
        if updates != self.updates_per_epoch:
            logger.warning(
                f"the stream held {counted(self.loader.count, 'pair')}, not {self.settings.num_training_samples}: the "
                f"schedule follows them from here, {counted(updates, 'update')} an epoch"
            )
            self.updates_per_epoch = updates

    def _validate(self) -> None:
        start, report = time.monotonic(), partial(self.reporter.validating, self.progress.epoch)
        scores, images = self._score(self.state.network, self.settings.validation_scale, report)
        self._validation_seconds = time.monotonic() - start
        self._finish_epoch(scores, images, self._validation_seconds)

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
        samples = predict_pairs(
            network,
            pairs,
            prepared.validation.label_map,
            precision=self.state.precision,
            scale=scale,
            crop_size=self.settings.validation_crop_size,
            check=check,
            skipped=skipped,
        )
        with report(expected * processes.world_size) as advance:
            # All processes stop together, below: the others may be waiting there already.
            with processes.raise_on_all(), suppress(StopRequested):
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

    def _select_scale(self, deadline: float | None = None) -> None:
        """At the end, with inference_scale auto: score the best weights at other scales, and write the bundle with the
        best one. A checkpoint never holds it, because further epochs would be compared with its scores.
        """
        progress, base = self.progress, self.settings.validation_scale
        if self.settings.inference_scale != "auto" or progress.best is None or progress.best_weights is None:
            return
        images = None if self.data.streams else len(self.data.prepared.validation.pairs)
        if reason := why_not_selected(self.settings, images):
            logger.info(f"inference_scale auto stays {base:g}, as in training: {reason}")
            return
        network = deepcopy(self.state.network)  # whose weights are the last ones, for checkpoints
        network.load_state_dict(progress.best_weights)
        chosen, trials = select_scale(
            lambda scale: self._score(network, scale, partial(self.reporter.trying_scale, scale))[0],
            base,
            Trial(progress.best, self._validation_seconds),
            deadline=deadline,
            processes=self.processes,
        )
        logger.info(describe_selection(chosen, base, trials))
        by_scale = {f"{scale:g}": trials[scale].mean_iou for scale in sorted(trials)}
        progress.best = {**progress.best, **trials[chosen].scores, "mean_iou_by_scale": by_scale}
        self.description = self.description.model_copy(update={"inference_scale": chosen})
        self._write_bundle(host_copy(self.state.network))

    def _finish_epoch(self, scores: Scores, images: int, seconds: float) -> None:
        """Record an epoch, whose validation took so many `seconds`; write a checkpoint, then the bundle, which a
        resumed training can write again.
        """
        progress, sums = self.progress, self.progress.sums
        progress.epoch += 1
        progress.last = {"epoch": progress.epoch, **scores.to_json()}
        progress.records.append(
            {
                "epoch": progress.epoch,
                "updates": self.state.updates,
                "images": sums.images,
                "train_loss": sums.mean_loss,
                "learning_rate": sums.learning_rate,
                "images_per_second": sums.images_per_second,
                "seconds": round(sums.seconds + seconds, 3),
                "validation": scores.to_json(),
            }
        )
        improved = progress.best is None or scores.mean_iou > progress.best["mean_iou"]
        weights = host_copy(self.state.network)
        if improved:
            progress.best, progress.best_weights = progress.last, weights
        stopped_early = progress.stopping.update(self.settings, progress.epoch - 1, scores.mean_iou)
        if stopped_early:
            logger.info(f"stopped early after epoch {progress.epoch}: the mean IoU no longer grows")
        progress.finished = stopped_early or progress.epoch >= self.settings.epochs
        progress.sums, progress.training_reported = EpochSums(), False
        self._save_checkpoint()
        result = EpochResult(progress.epoch - 1, self.settings.epochs, sums, scores, improved, images, seconds)
        self.reporter.on_validated(result)  # After the checkpoint: a resumed training must not report it again.
        self._write_bundle(weights)
        self.reporter.on_saved(result, self.writer.path)

    def _checkpoint_or_stop(self) -> None:
        """Between two steps: write a checkpoint where one is due, and stop on request, in all processes together."""
        waited = time.monotonic() - self._last_checkpoint
        due = self.processes.is_main and self.checkpoints is not None and waited >= self.checkpoints.every
        flags = torch.tensor([int(self.stop.made), int(due)])  # on the host, which must not wait for a device here
        stop, write = self.processes.sum(flags).tolist()
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
        self._last_checkpoint = time.monotonic()
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
            logger.warning(f"interrupted before the first epoch ended: {path} keeps the model it held{advice}")
        elif self.processes.is_main:
            self._write_bundle(host_copy(self.state.network))
            kind = "its best epoch's weights" if self.progress.best else "the weights as they are, not validated"
            logger.warning(f"interrupted: {path} holds a usable model ({kind}){advice}")

    def _write_bundle(self, last: State) -> None:
        """Write the bundle, on rank 0."""
        if self.processes.is_main:
            best, description = self.progress.best_weights or last, self.progress.complete(self.description)
            self.writer.save(description, last=last, best=best, records=self.progress.records)
