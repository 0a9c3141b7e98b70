"""What bfloat16 costs a trained network in mean IoU: where that is little, precision auto may choose it."""

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import torch

from segwright.bundle import PrecisionCost
from segwright.evaluation import ConfusionMatrix
from segwright.networks import SegmentationNetwork
from segwright.stopping import StopRequested
from segwright.training.data_loaders import TrainingData
from segwright.training.scale_selection import FEWEST_IMAGES
from segwright.training.train_step import TrainState
from segwright.training.validation import validation_predictions
from segwright.wording import counted, duration

logger = logging.getLogger(__name__)

_MOST_IMAGES: Final = 50
_SHARE: Final = 0.02  # of the training's time
_LEAST_SECONDS, _MOST_SECONDS = 5.0, 60.0


def seconds_to_compare(elapsed: float, budget: float | None) -> float:
    """How long the comparison may take after a training of so many seconds, which had a budget of seconds or none."""
    return min(max(_SHARE * elapsed, _LEAST_SECONDS) if budget is None else _SHARE * budget, _MOST_SECONDS)


def can_compare(device: torch.device, images: int | None) -> bool:
    """Whether so many validation images (None: a stream, which is not read once more) allow to compare on a device."""
    return images is not None and images >= FEWEST_IMAGES and device.type in ("cpu", "cuda")  # complete in bfloat16


def compare_precisions(
    network: SegmentationNetwork,
    scale: float,
    state: TrainState,
    data: TrainingData,
    seconds: float,
    clock: Callable[[], float],
    check_stop: Callable[[], None],
) -> dict[str, PrecisionCost]:
    """Score a network in float32 and in bfloat16 on up to 50 validation images drawn at random, as many as `seconds`
    allow, and log the result; all processes call it together, each with its share. Empty where too few were scored.
    """
    pairs, count, _ = data.validation_pairs(0)
    drawn = random.Random(0).sample(list(pairs), min(count, -(-_MOST_IMAGES // state.processes.world_size)))
    exact, rounded = (
        validation_predictions(network, scale, state, data, drawn, precision=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    )
    matrices = [ConfusionMatrix(data.prepared.num_classes) for _ in range(2)]
    images, begun = 0, clock()
    # All processes stop together, afterwards: the others may be waiting there already.
    with state.processes.raise_on_all(), suppress(StopRequested):
        for both in zip(exact, rounded, strict=True):
            for matrix, (labels, prediction) in zip(matrices, both, strict=True):
                matrix.update(labels, prediction)
            images += 1
            check_stop()
            if clock() - begun > seconds:
                break
    for matrix in matrices:
        state.processes.sum(torch.from_numpy(matrix.counts))
    images = int(state.processes.sum(torch.tensor(images)))
    if images < FEWEST_IMAGES:
        scored = f"{counted(images, 'validation image')} in {duration(seconds)}"
        logger.info(f"bfloat16 is not proven for this model: only {scored} could be compared with float32")
        return {}
    first, second = (matrix.scores(data.prepared.class_names).mean_iou_present for matrix in matrices)
    logger.info(f"mean IoU in bfloat16 {second:.4f}, in float32 {first:.4f} on {counted(images, 'validation image')}")
    return {"bfloat16": PrecisionCost(fall=100 * (first - second), images=images)}
