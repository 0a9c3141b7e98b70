"""The log of a training job, in the lines of SageMaker's algorithm: dashboards and tuning jobs read them.

Source: SageMaker's contract, section 4.1.
"""

import io
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from segwright.bundle import BEST_WEIGHTS, LAST_WEIGHTS
from segwright.checks.classes import LabelMapInUse
from segwright.console import set_up_logging
from segwright.hyperparameters import Hyperparameters
from segwright.sagemaker import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS
from segwright.standard_streams import LOG
from segwright.training.checkpoint_state import TrainProgress
from segwright.training.diagnosis import verdict
from segwright.training.reporter import AdvanceImages, EpochResult, Reporter
from segwright.training.schedule import Schedule
from segwright.training.train_step import EpochSums
from segwright.wording import printable

logger = logging.getLogger(__name__)

_METRICS: Final = [one["Regex"].partition(" (")[0] for one in (*METRIC_DEFINITIONS, *FURTHER_METRIC_DEFINITIONS)]
"""The texts before the values of metrics: `train loss:`, ..."""


class _Formatter(logging.Formatter):
    """`[MM/DD/YYYY HH:MM:SS LEVEL thread] message`, where nothing but a metric looks like one; label maps as JSON."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s %(levelname)s %(thread)d] %(message)s", "%m/%d/%Y %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        if isinstance(record.msg, LabelMapInUse):
            what = "label map" if record.msg.given else "no label map is given, pixel values are class indices:"
            record.message = f"{record.msg.channel}: {what} {record.msg.label_map.to_json()}"
        record.message = printable(record.message)
        for metric in _METRICS if record.name != __name__ else ():  # the reporter logs the metrics themselves
            record.message = record.message.replace(metric, metric.removesuffix(":"))
        return super().formatMessage(record)


def log_to_stdout() -> None:
    """Log the package's records to standard output, as the original does."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be text in any encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(LOG)
    handler.setFormatter(_Formatter())
    set_up_logging(handler)


class SageMakerReporter(Reporter):
    """Logs a training in the original's lines."""

    def __init__(self, host: str, gpus: int, started: float) -> None:
        """A job on `host` with so many `gpus`, `started` at seconds since 1970."""
        self._host, self._gpus, self._started = host, gpus, started
        self._every = self._batch = 1
        self._records: list[dict[str, Any]] = []
        """One for each epoch so far, as in metrics.jsonl."""
        self._setup = 0.0
        self._epoch_started = started
        self._images, self._lap_started = 0, time.monotonic()
        """Images since the last line of progress, and its time."""

    def on_train_start(self, settings: Hyperparameters, updates_per_epoch: int, progress: TrainProgress) -> None:
        """Devices, schedule, and the counters as an earlier run has left them."""
        self._every, self._batch = settings.logging_frequency, settings.validation_mini_batch_size
        logger.info(f"Number of GPUs being used: {self._gpus}")
        length = f"minutes {settings.minutes:g}" if settings.minutes else f"num_epochs {settings.epochs}"
        logger.info(f"LRScheduler setup: iters per epoch: {updates_per_epoch}, {length}")
        self._records = progress.records
        now = time.time()
        self._metrics(self._counters(), self._started, now, {"Meta": "init_train_data_iter"})
        self._setup = now - self._started

    @contextmanager
    def training(self, epoch: int, samples: int, sums: EpochSums, schedule: Schedule) -> Iterator[AdvanceImages]:
        """A line every `logging_frequency` batches, with the speed since the line before."""
        self._epoch_started = time.time()
        self._images, self._lap_started = 0, time.monotonic()

        def report(images: int) -> None:
            self._images += images
            if sums.batches % self._every == 0:
                self._notice(epoch, sums.batches, f" learning_rate: {sums.learning_rate:.6f}")

        yield report

    def on_epoch_trained(self, epoch: int, sums: EpochSums) -> None:
        """Loss and speed of the epoch."""
        self._quality(epoch, f"train loss: {sums.mean_loss}")
        self._throughput(epoch, f"train throughput: {sums.images_per_second}")

    @contextmanager
    def validating(self, epoch: int, images: int) -> Iterator[AdvanceImages]:
        """As in training; an iteration is a batch of validation images, though images are scored one by one."""
        self._images, self._lap_started = 0, time.monotonic()
        scored = reported = 0

        def report(count: int) -> None:
            nonlocal scored, reported
            scored += count
            self._images += count
            if scored // self._batch >= reported + self._every:
                reported = scored // self._batch // self._every * self._every
                self._notice(epoch, reported)

        yield report

    def on_validated(self, result: EpochResult) -> None:
        """Scores and speed of the validation."""
        scores, epoch = result.scores, result.epoch
        self._quality(epoch, f"validation pixel_accuracy: {scores.pixel_accuracy}")
        self._quality(epoch, f"validation mIOU: {scores.mean_iou}")
        self._throughput(epoch, f"validation throughput: {result.images / max(result.seconds, 1e-9)}")
        self._quality(epoch, f"validation mIOU_present: {scores.mean_iou_present}")
        for entry in scores.per_class:
            if entry.iou is not None:
                self._quality(epoch, f"validation IoU_class_{entry.index}: {entry.iou}")

    def on_saved(self, result: EpochResult, model: Path) -> None:
        """The files written, and the share of epochs done."""
        if result.improved:
            logger.info(f"Serializing model to {model / BEST_WEIGHTS}")
        share = 100 * (result.epoch + 1) / result.epochs if result.epochs else 100 * result.share
        logger.info(f"#progress_metric: host={self._host}, completed {share} % of epochs")
        where = {"epoch": result.epoch, "Meta": "training_data_iter"}
        self._metrics(self._counters(), self._epoch_started, time.time(), where)

    def on_train_end(self, progress: TrainProgress, model: Path) -> None:
        """The last lines."""
        logger.info(f"Serializing model to {model / LAST_WEIGHTS}")
        logger.info("Test data is not provided.")
        now = time.time()
        times = {"setuptime": self._setup * 1000, "totaltime": (now - self._started) * 1000}
        self._metrics({"epochs": progress.epoch, **times}, self._started, now)
        if progress.best:
            mean_iou, epoch = progress.best["mean_iou"], progress.best["epoch"] - 1
            wrong, cure = verdict(progress.best, progress.records)
            if wrong:
                logger.warning(f"validation mean IoU {mean_iou:.4f} in epoch {epoch}, but {wrong}: {cure}")
            else:
                logger.info(f"best validation mean IoU {mean_iou:.4f} in epoch {epoch}")

    def _notice(self, epoch: int, iterations: int, more: str = "") -> None:
        now = time.monotonic()
        speed = self._images / max(now - self._lap_started, 1e-9)
        self._images, self._lap_started = 0, now
        logger.info(f"#progress_notice. epoch: {epoch}, iterations: {iterations} speed: {speed} samples/sec{more}")

    def _quality(self, epoch: int, metric: str) -> None:
        # The blank before the full stop keeps it out of the value that the expressions find.
        logger.info(f"#quality_metric. host: {self._host}, epoch: {epoch}, {metric} .")

    def _throughput(self, epoch: int, metric: str) -> None:
        logger.info(f"#throughput_metric. host: {self._host}, epoch: {epoch}, {metric} samples/sec.")

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

    def _counters(self) -> dict[str, float]:
        """Records and batches under the original's names; an epoch's end is a reset."""
        records = [record.get("images", 0) for record in self._records] or [0]
        updates = [0, *(record["updates"] for record in self._records)]
        batches = [after - before for before, after in pairwise(updates)] or [0]
        return {
            "Total Records Seen": sum(records),
            "Total Batches Seen": sum(batches),
            "Max Records Seen Between Resets": max(records),
            "Max Batches Seen Between Resets": max(batches),
            "Reset Count": len(self._records),
            "Number of Records Since Last Reset": records[-1],
            "Number of Batches Since Last Reset": batches[-1],
        }
