"""The epochs of a training: train, validate, save, and stop where there is a reason to.

Knows the order of things within and between epochs. Refuses to know the arithmetic of a step (epoch.py), of a score
(evaluation), and what a checkpoint holds (state.py).
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from segwright.bundle import BundleWriter, Description, host_copy
from segwright.data.channels import Split
from segwright.errors import UserError
from segwright.evaluation import ConfusionMatrix, Scores, count_pairs
from segwright.stopping import StopRequest, StopRequested
from segwright.training.checkpoint_state import TrainProgress, to_checkpoint
from segwright.training.checkpoints import CheckpointFolder
from segwright.training.data_loaders import TrainingData
from segwright.training.description import describe
from segwright.training.reporter import EpochResult, Reporter, log_advice, log_resumption, log_start
from segwright.training.schedules import updates_per_epoch
from segwright.training.train_step import EpochSums, StepFigures, TrainState

logger = logging.getLogger(__name__)

_SKIPPED_TOLD: Final = 20


@dataclass(frozen=True)
class Outputs:
    """Where a training leaves what it learns; only the first process writes."""

    writer: BundleWriter
    checkpoints: CheckpointFolder | None
    """None: no checkpoints are kept."""
    checkpoint_every: float
    """Seconds."""


class Trainer:
    """The epochs of one training, from where `reached` says it is to its end."""

    def __init__(
        self,
        trainer: TrainState,
        supply: TrainingData,
        reached: TrainProgress,
        outputs: Outputs,
        stop: StopRequest,
        reporter: Reporter,
    ) -> None:
        self.trainer, self.supply, self.data = trainer, supply, supply.data
        self.reached, self.outputs, self.stop = reached, outputs, stop
        self.settings, self.processes = trainer.settings, trainer.processes
        self.reporter = reporter if self.processes.first else Reporter()
        self.loader = supply.loader(trainer, reached.stream_pairs)
        self.updates_per_epoch = updates_per_epoch(self.settings, self.loader.count)
        self._checkpoint_time = time.monotonic()

    def run(self) -> None:
        """Train, validate and save, epoch after epoch."""
        log_start(self.trainer, self.loader.count, self.updates_per_epoch)
        log_resumption(self.trainer, self.reached)
        if self.reached.finished:  # The process before may have been killed before it wrote this.
            self._write(host_copy(self.trainer.network))
        else:
            log_advice(self.settings, self.data, self.updates_per_epoch)
        self.reporter.begins(self.settings, self.updates_per_epoch, self.reached)
        try:
            self._epochs()
        except torch.OutOfMemoryError as error:
            raise UserError(
                "the device has too little memory: try --accumulation 2 (or 4, 8), a smaller --crop-size, "
                f"--output-stride 16, or --precision-dtype auto ({str(error).splitlines()[0]})"
            ) from error
        self.reporter.ends(self.reached, self.outputs.writer.path)

    def _epochs(self) -> None:
        """All that are left; where somebody wishes to stop, what is learnt is saved."""
        try:
            while not self.reached.finished:
                self._epoch()
        except StopRequested:
            self._save_interrupted()
            raise KeyboardInterrupt from None

    def _epoch(self) -> None:
        self._look_up()  # Nothing need be trained for somebody who wishes to stop already.
        self._train()
        if not self.reached.trained_told:
            self.reporter.trained(self.reached.epoch, self.reached.sums)
            self.reached.trained_told = True
        start = time.monotonic()
        scores, images = self._validate()
        self._keep(scores, images, time.monotonic() - start)

    def _train(self) -> None:
        epoch, sums = self.reached.epoch, self.reached.sums
        visits = self.loader.samples(epoch, sums.batches)
        with self.reporter.training(epoch, self.settings.epochs, visits) as tell:

            def after_step(step: StepFigures) -> None:
                tell(step, sums)
                self._look_up()

            self.trainer.epoch(self.loader.epoch(epoch, sums.batches), self.updates_per_epoch, sums, after_step)
        if self.supply.feeds:
            self._compare_pass("train")
            self._recount()
            self._tell_skipped("train", self.loader.skipped)

    def _compare_pass(self, split: Split) -> None:
        """Compare what a pass over a stream has held with what is known of it, in each process that reads it."""
        seen, failure = self.supply.feeds[split].seen, None
        try:
            if seen is not None:
                self.reached.streams[split].end_pass(split, seen)
        except UserError as error:
            failure = error
        self.processes.fail_together(failure)
        fingerprints = self.processes.gather(seen.fingerprint if seen is not None else None)
        if self.processes.first and len(set(fingerprints) - {None}) > 1:
            failure = UserError(f"{split}: the machines read different pairs, but each has to get the whole stream")
        self.processes.fail_together(failure)

    def _tell_skipped(self, channel: str, skipped: list[str]) -> None:
        """Say which pairs of a stream were skipped by any process since the last time."""
        told = [sentence for share in self.processes.gather(skipped) for sentence in share]
        skipped.clear()
        for sentence in told[:_SKIPPED_TOLD]:
            logger.warning(f"skipped: {sentence}")
        if told:
            logger.warning(f"{channel}: {len(told)} pairs of the stream were skipped in epoch {self.reached.epoch + 1}")

    def _recount(self) -> None:
        """Let the schedule follow the true number of pairs, which a stream tells only when it ends."""
        self.reached.stream_pairs = self.loader.count
        true = updates_per_epoch(self.settings, max(self.loader.count, self.settings.mini_batch_size))
        if true != self.updates_per_epoch:
            logger.warning(
                f"the stream held {self.loader.count} pairs, not {self.settings.num_training_samples}: the schedule "
                f"follows them from here, {true} updates an epoch"
            )
            self.updates_per_epoch = true

    def _validate(self) -> tuple[Scores, int]:
        """The scores of the network as it is, and the number of images that they are of."""
        self.processes.agree(self.trainer.network)
        share, known, passing = self.supply.validation_share(self.processes, self.reached.epoch)
        skipped: list[str] = []
        images = 0
        together = self.processes.world_size  # Images of which this process has looked at one.
        with self.reporter.validating(self.reached.epoch, known * together) as tell:

            def after_each() -> None:
                nonlocal images
                images += 1
                tell(together)
                self.stop.check()

            matrix, failure = ConfusionMatrix(self.data.num_classes), None
            try:
                matrix = count_pairs(
                    self.trainer.network,
                    share,
                    self.data.validation.label_map,
                    self.trainer.device,
                    after_each,
                    precision=self.trainer.precision,
                    crop_size=self.settings.validation_crop_size,
                    form=self.data.form,
                    passing=passing,
                    skipped=skipped,
                )
            except UserError as error:
                failure = error
            except StopRequested:
                pass  # All stop together, below: the others may be waiting there already.
            self.processes.fail_together(failure)
            self._look_up()
        if self.supply.feeds:
            self._compare_pass("validation")
            self._tell_skipped("validation", skipped)
        counts = torch.from_numpy(matrix.counts).to(self.trainer.device)
        matrix.counts = self.processes.sum(counts).cpu().numpy()
        return matrix.scores(self.data.class_names), int(self.processes.sum(torch.tensor(images)))

    def _keep(self, scores: Scores, images: int, seconds: float) -> None:
        """Note what an epoch has brought; write a checkpoint, then the bundle, which the checkpoint could replace.

        `images` were validated in so many `seconds`.
        """
        reached, sums = self.reached, self.reached.sums
        reached.epoch += 1
        reached.last = {"epoch": reached.epoch, **scores.to_json()}
        reached.records.append(
            {
                "epoch": reached.epoch,
                "updates": self.trainer.updates,
                "images": sums.images,
                "train_loss": sums.mean_loss,
                "learning_rate": sums.learning_rate,
                "images_per_second": sums.images_per_second,
                "seconds": round(sums.seconds + seconds, 3),
                "validation": scores.to_json(),
            }
        )
        improved = reached.best is None or scores.mean_iou > reached.best["mean_iou"]
        state = host_copy(self.trainer.network)
        if improved:
            reached.best, reached.best_weights = reached.last, state
        result = EpochResult(reached.epoch - 1, self.settings.epochs, sums, scores, improved, images, seconds)
        reached.finished = self._is_last(scores)
        reached.sums, reached.trained_told = EpochSums(), False
        self._checkpoint()
        self.reporter.validated(result)  # After the checkpoint: a killed process would tell it a second time.
        self._write(state)
        self.reporter.kept(result, self.outputs.writer.path)

    def _is_last(self, scores: Scores) -> bool:
        if self.reached.stopping.ends(self.reached.epoch - 1, scores.mean_iou):
            logger.info(f"stopped early after epoch {self.reached.epoch}: the mean IoU no longer grows")
            return True
        return self.reached.epoch >= self.settings.epochs

    def _save_interrupted(self) -> None:
        """Keep what was learnt since the last epoch ended; the best weights stay the best ones."""
        advice = "; --resume goes on training" if self._checkpoint() else ""
        writer = self.outputs.writer
        if self.processes.first and writer.keeps_older:
            logger.warning(f"interrupted before the first epoch ended: {writer.path} keeps the model it held{advice}")
        elif self.processes.first:
            self._write(host_copy(self.trainer.network))
            kind = "its best epoch's weights" if self.reached.best else "the weights as they are, not validated"
            logger.warning(f"interrupted: {writer.path} holds a usable model ({kind}){advice}")

    def _look_up(self) -> None:
        """Between two steps: write a checkpoint where one is due, and stop where that was asked for, all together."""
        waited = time.monotonic() - self._checkpoint_time
        due = self.processes.first and bool(self.outputs.checkpoints) and waited >= self.outputs.checkpoint_every
        flags = torch.tensor([int(self.stop.made), int(due)], device=self.trainer.device)
        stop, write = self.processes.sum(flags).tolist()
        if write and not stop:
            self._checkpoint()
        if stop:  # Never the other way round: a request may come in meanwhile.
            self.stop.made = True
        self.stop.check()

    def _checkpoint(self) -> bool:
        """Write a checkpoint; where that fails, the training goes on. Return whether it was written."""
        if self.outputs.checkpoints is None:
            return False
        for split, feed in self.supply.feeds.items():
            if (seen := feed.seen) is not None:
                self.reached.streams[split].note(seen)
        checkpoint = to_checkpoint(self.trainer, self.reached, self._description())
        self._checkpoint_time = time.monotonic()
        if checkpoint is None:
            return False
        try:
            self.outputs.checkpoints.save(checkpoint)
        except UserError as error:
            logger.warning(f"{error}; the training goes on without it")
            return False
        return True

    def _write(self, last: Mapping[str, torch.Tensor]) -> None:
        """Write the bundle, where this is the process that does."""
        if self.processes.first:
            best = self.reached.best_weights or last
            self.outputs.writer.save(self._description(), last=last, best=best, records=self.reached.records)

    def _description(self) -> Description:
        return describe(self.trainer.network.spec, self.settings, self.data, self.reached)
