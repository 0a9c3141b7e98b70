"""What a training is supplied with: batches to learn from, and pairs to validate on, from lists or from streams.

Knows checked data, feeds and the settings that loaders need. Refuses to know epochs and updates.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from segwright.checks.prepare import CheckedData
from segwright.checks.stream import StreamCheck
from segwright.data.channels import Split
from segwright.data.loader import CropSettings, LoaderSettings, TrainingLoader, stream_loader, training_loader
from segwright.data.pairs import Pair
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.training.distributed import Distributed
from segwright.training.stream_setup import Feeds
from segwright.training.train_step import TrainState


@dataclass(frozen=True)
class TrainingData:
    """The data of a training as one process gets them; `feeds` is empty where channels are no streams."""

    data: CheckedData
    feeds: Feeds
    strict: bool = False

    def loader(self, trainer: TrainState, counted: int | None) -> TrainingLoader:
        """The batches that this process learns from; `counted` says how many pairs a stream held before, if known."""
        settings, processes, data = trainer.settings, trainer.processes, self.data
        loading = LoaderSettings(
            batch_size=settings.mini_batch_size,
            seed=settings.seed,
            workers=settings.workers,
            rollover=settings.last_batch == "rollover",
            rank=processes.rank,
            world_size=processes.world_size,
            local_world_size=processes.local_world_size,
            pin_memory=trainer.device.type == "cuda",
        )
        feed = self.feeds.get("train")
        if feed is None:
            return training_loader(data.train.pairs, data.train.label_map, _crops(settings), loading, data.form)
        expected = counted or settings.num_training_samples or 0
        return stream_loader(feed, expected, data.train.label_map, _crops(settings), loading, self._passing("train"))

    def validation_share(self, processes: Distributed, epoch: int) -> tuple[Iterable[Pair], int, StreamCheck | None]:
        """The validation pairs of this process, how many they are (0: unknown), and what they have to be, if unseen."""
        feed = self.feeds.get("validation")
        if feed is None:
            share = self.data.validation.pairs[processes.rank :: processes.world_size]
            return share, len(share), None
        coming = (visit.pair for visits in feed.batches(epoch) for visit in visits if visit.counted)
        return coming, (feed.pairs_seen or 0) // processes.world_size, self._passing("validation")

    def _passing(self, split: Split) -> StreamCheck:
        return StreamCheck(split, self.data.num_classes, self.data.form, self.strict)


def _crops(settings: Hyperparameters) -> CropSettings:
    return CropSettings(
        settings.base_size,
        settings.training_crop_size,
        augment=settings.augmentation_type == "default",
        padding=IGNORE if settings.padding == "ignore" else 0,
    )
