"""The language of the log: the lines of the original, word for word, because dashboards, tuning jobs and people's
scripts read them.

Knows the forms of the lines. `SageMakerReporter` says in them what happens in a training; what the package logs besides
gets the same prefix, and is kept from looking like a metric. Everything goes to standard output.

Source: SageMaker's contract, section 4.1.
"""

import io
import json
import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from segwright.bundle import BEST, LAST
from segwright.console import PACKAGE_LOGGER
from segwright.hyperparameters import Hyperparameters
from segwright.sagemaker.metrics import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS
from segwright.sagemaker.words import in_words_of_a_job
from segwright.standard_streams import LOG
from segwright.training.checkpoint_state import TrainProgress
from segwright.training.reporter import Advance, EpochResult, Reporter
from segwright.training.train_step import EpochSums
from segwright.wording import plain

_METRIC: Final = {"metric": True}
_PHRASES: Final = [one["Regex"].partition(":")[0] for one in (*METRIC_DEFINITIONS, *FURTHER_METRIC_DEFINITIONS)]
_LIKE_A_METRIC: Final = re.compile(f"({'|'.join(_PHRASES)}): ")


class _Prefix(logging.Formatter):
    """`[MM/DD/YYYY HH:MM:SS LEVEL thread] message`."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s %(levelname)s %(thread)d] %(message)s", "%m/%d/%Y %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = plain(record.message)
        if not getattr(record, "metric", False):
            record.message = _LIKE_A_METRIC.sub(r"\1 ", in_words_of_a_job(record.message))
        return super().formatMessage(record)


def set_up_logging() -> None:
    """Let the package log as the original does."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # Names of files need not be text in any encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(LOG)
    handler.setFormatter(_Prefix())
    PACKAGE_LOGGER.handlers[:] = [handler]
    PACKAGE_LOGGER.setLevel(logging.INFO)
    PACKAGE_LOGGER.propagate = False


class SageMakerReporter(Reporter):
    """Tells SageMaker what happens in a training."""

    def __init__(self, host: str, gpus: int, began: float) -> None:
        """The job uses so many `gpus`; it `began` then, in seconds since 1970."""
        self._host, self._gpus, self._began = host, gpus, began
        self._every = self._batch = 1
        self._counters = _Counters()
        self._setup: float | None = None
        self._epoch_began = began

    def on_train_start(self, settings: Hyperparameters, updates_per_epoch: int, progress: TrainProgress) -> None:
        """Devices and schedule, and counters that stand where an earlier run has left them."""
        self._every, self._batch = settings.logging_frequency, settings.validation_mini_batch_size
        _say(f"Number of GPUs being used: {self._gpus}")
        _say(f"LRScheduler setup: iters per epoch: {updates_per_epoch}, num_epochs {settings.epochs}")
        self._counters = _Counters.after(progress)
        now = time.time()
        self._metrics(self._counters.as_metrics(), self._began, now, {"Meta": "init_train_data_iter"})
        self._setup = now - self._began

    @contextmanager
    def training(self, epoch: int, epochs: int, samples: int, sums: EpochSums) -> Iterator[Advance]:
        """A line every so many batches; its speed is that since the line before."""
        self._epoch_began = time.time()
        pace = _Pace()

        def after_step(images: int) -> None:
            pace.images += images
            if sums.batches % self._every == 0:
                self._progress(epoch, sums.batches, f"{pace.lap()} samples/sec learning_rate: {sums.learning_rate:.6f}")

        yield after_step

    def on_epoch_trained(self, epoch: int, sums: EpochSums) -> None:
        """Loss and speed of the epoch."""
        self._quality(epoch, f"train loss: {sums.mean_loss}")
        self._throughput(epoch, f"train throughput: {sums.images_per_second}")

    @contextmanager
    def validating(self, epoch: int, images: int) -> Iterator[Advance]:
        """As in training; an iteration is a batch of validation images, though images are scored one by one."""
        pace = _Pace()
        scored = told = 0

        def tell(count: int) -> None:
            nonlocal scored, told
            scored += count
            pace.images += count
            if scored // self._batch >= told + self._every:
                told = scored // self._batch // self._every * self._every
                self._progress(epoch, told, f"{pace.lap()} samples/sec")

        yield tell

    def on_validated(self, result: EpochResult) -> None:
        """Scores and speed of the validation."""
        scores, epoch = result.scores, result.epoch
        self._counters.add(result.sums.images, result.sums.batches)
        self._quality(epoch, f"validation pixel_accuracy: {scores.pixel_accuracy}")
        self._quality(epoch, f"validation mIOU: {scores.mean_iou}")
        self._throughput(epoch, f"validation throughput: {result.images / max(result.seconds, 1e-9)}")
        self._quality(epoch, f"validation mIOU_present: {scores.mean_iou_present}")
        for entry in scores.per_class:
            if entry.iou is not None:
                self._quality(epoch, f"validation IoU_class_{entry.index}: {entry.iou}")

    def on_saved(self, result: EpochResult, model: Path) -> None:
        """What was written, and how far the training is."""
        if result.improved:
            _say(f"Serializing model to {model / BEST}")
        share = 100 * (result.epoch + 1) / result.epochs
        _say(f"#progress_metric: host={self._host}, completed {share} % of epochs")
        where = {"epoch": result.epoch, "Meta": "training_data_iter"}
        self._metrics(self._counters.as_metrics(), self._epoch_began, time.time(), where)

    def on_train_end(self, progress: TrainProgress, model: Path) -> None:
        """The last lines."""
        _say(f"Serializing model to {model / LAST}")
        _say("Test data is not provided.")
        now = time.time()
        times = {"setuptime": (self._setup or 0.0) * 1000, "totaltime": (now - self._began) * 1000}
        self._metrics({"epochs": progress.epoch, **times}, self._began, now)
        if progress.best:
            PACKAGE_LOGGER.info(
                f"best validation mean IoU {progress.best['mean_iou']:.4f} in epoch {progress.best['epoch'] - 1}"
            )

    def _progress(self, epoch: int, iterations: int, speed: str) -> None:
        _say(f"#progress_notice. epoch: {epoch}, iterations: {iterations} speed: {speed}")

    def _quality(self, epoch: int, metric: str) -> None:
        # The blank before the full stop keeps it out of the value that the expressions find.
        _say(f"#quality_metric. host: {self._host}, epoch: {epoch}, {metric} .")

    def _throughput(self, epoch: int, metric: str) -> None:
        _say(f"#throughput_metric. host: {self._host}, epoch: {epoch}, {metric} samples/sec.")

    def _metrics(
        self, figures: Mapping[str, float], start: float, end: float, where: Mapping[str, Any] | None = None
    ) -> None:
        dimensions = {"Algorithm": "AWS/Semantic Segmentation", "Host": self._host, "Operation": "training"}
        line = {
            "StartTime": start,
            "EndTime": end,
            "Dimensions": {**dimensions, **(where or {})},
            "Metrics": {name: {"sum": x, "count": 1, "min": x, "max": x} for name, x in figures.items()},
        }
        print(f"#metrics {json.dumps(line)}", file=LOG, flush=True)


class _Counters:
    """How many records and batches a training has seen; an epoch's end is a reset."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []

    @classmethod
    def after(cls, progress: TrainProgress) -> "_Counters":
        """As they stand after the epochs of `progress`."""
        counters = cls()
        updates = 0
        for record in progress.records:
            counters.add(record.get("images", 0), record["updates"] - updates)
            updates = record["updates"]
        return counters

    def add(self, records: int, batches: int) -> None:
        """Count an epoch."""
        self.epochs.append((records, batches))

    def as_metrics(self) -> dict[str, float]:
        """Under the original's names."""
        records, batches = zip(*self.epochs, strict=True) if self.epochs else ((0,), (0,))
        return {
            "Total Records Seen": sum(records),
            "Total Batches Seen": sum(batches),
            "Max Records Seen Between Resets": max(records),
            "Max Batches Seen Between Resets": max(batches),
            "Reset Count": len(self.epochs),
            "Number of Records Since Last Reset": records[-1],
            "Number of Batches Since Last Reset": batches[-1],
        }


class _Pace:
    """Images a second, lap by lap."""

    def __init__(self) -> None:
        self.images = 0
        self._start = time.monotonic()

    def lap(self) -> float:
        """The speed since the last lap; a new one begins."""
        now = time.monotonic()
        speed = self.images / max(now - self._start, 1e-9)
        self.images, self._start = 0, now
        return speed


def _say(line: str) -> None:
    PACKAGE_LOGGER.info(line, extra=_METRIC)
