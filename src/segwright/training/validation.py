"""Predictions of validation images, and how long a validation takes, by a few of them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.checks.channel import StreamCheck
from segwright.data.pairs import Pair
from segwright.evaluation import predict_pairs
from segwright.inference import PyTorchRuntime
from segwright.networks import SegmentationNetwork
from segwright.training.data_loaders import TrainingData
from segwright.training.train_step import TrainState

_IMAGES: Final = 5
_SECONDS: Final = 2.0
_FILES: Final = 6  # times the size of the network: bundle and checkpoint
_BYTES_PER_SECOND: Final = 3e8  # of a disk


def validation_predictions(
    network: SegmentationNetwork,
    scale: float,
    state: TrainState,
    data: TrainingData,
    pairs: Iterable[Pair],
    check: StreamCheck | None = None,
    skipped: list[str] | None = None,
    precision: torch.dtype | None = None,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield labels and predictions of validation pairs as `predict_pairs` does, with the settings of the training, of
    which `precision` replaces one. The network is put into evaluation mode and left there.
    """
    return predict_pairs(
        PyTorchRuntime(network.eval(), precision or state.precision),
        pairs,
        data.prepared.validation.label_map,
        data.prepared.pixel_format,
        scale=scale,
        crop_size=state.settings.validation_crop_size,
        check=check,
        skipped=skipped,
    )


def estimate_seconds(state: TrainState, data: TrainingData, clock: Callable[[], float]) -> float:
    """Estimate the seconds of a validation with what is written after it, by a few images; 0 for streams, whose images
    come once only. All processes call it together and get the longest.
    """
    if data.streams:
        return 0.0
    pairs, count, _ = data.validation_pairs(0)
    few, scale = list(pairs)[:: max(count // _IMAGES, 1)], state.settings.validation_scale
    seconds: list[float] = []
    begun = before = clock()
    with state.processes.raise_on_all():
        for _ in validation_predictions(state.network, scale, state, data, few):
            now = clock()
            seconds.append(now - before)
            before = now
            if now - begun > _SECONDS:
                break
    usual = seconds[1:] or seconds or [0.0]  # The first one is slower.
    size = sum(tensor.nbytes for tensor in state.network.state_dict().values())
    estimate: float = sum(usual) / len(usual) * count + _FILES * size / _BYTES_PER_SECOND
    return max(state.processes.gather(estimate))
