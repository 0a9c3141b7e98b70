"""What bfloat16 costs a trained network in mean IoU: where that is little, precision auto may choose it."""

import logging
from typing import Final

import torch

from segwright.bundle import PrecisionCost
from segwright.devices import choose_precision
from segwright.evaluation import ConfusionMatrix
from segwright.networks import SegmentationNetwork
from segwright.training.data_loaders import TrainingData
from segwright.training.measurements import FEWEST_IMAGES, TimeLimit, drawn_pairs
from segwright.training.train_step import TrainState
from segwright.training.validation import validation_predictions
from segwright.wording import counted, duration

logger = logging.getLogger(__name__)

_SHARE: Final = 0.02  # of the training's time
_LEAST_SECONDS, _MOST_SECONDS = 5.0, 60.0


def seconds_to_compare(elapsed: float, budget: float | None) -> float:
    """How long the comparison may take after a training of so many seconds, which had a budget of seconds or none."""
    return min(max(_SHARE * elapsed, _LEAST_SECONDS) if budget is None else _SHARE * budget, _MOST_SECONDS)


def can_compare(device: torch.device) -> bool:
    """Whether a device computes in bfloat16: others emulate it, and one image may take longer than all the time."""
    return choose_precision("auto", device) == torch.bfloat16


def compare_precisions(
    network: SegmentationNetwork, scale: float, state: TrainState, data: TrainingData, limit: TimeLimit
) -> dict[str, PrecisionCost]:
    """Score a network in float32 and in bfloat16 on up to 50 validation images drawn at random, as many as the time
    allows, and log the result; all processes call it together, each with its share. Empty where too few were scored.
    """
    pairs, processes = drawn_pairs(data), state.processes
    matrices, images = [ConfusionMatrix(data.prepared.num_classes) for _ in range(2)], 0
    with processes.raise_on_all():
        exact, rounded = (
            validation_predictions(network, scale, state, data, pairs, precision=dtype)
            for dtype in (torch.float32, torch.bfloat16)
        )
        for both in limit.take(zip(exact, rounded, strict=True)):
            for matrix, (labels, prediction) in zip(matrices, both, strict=True):
                matrix.update(labels, prediction)
            images += 1
    for matrix in matrices:
        processes.sum(torch.from_numpy(matrix.counts))
    images = int(processes.sum(torch.tensor(images)))
    if images < FEWEST_IMAGES:
        scored = f"{counted(images, 'validation image')} in {duration(limit.seconds)}"
        logger.info(f"bfloat16 is not proven for this model: only {scored} could be compared with float32")
        return {}
    first, second = (matrix.scores(data.prepared.class_names).mean_iou_present for matrix in matrices)
    logger.info(f"mean IoU in bfloat16 {second:.4f}, in float32 {first:.4f} on {counted(images, 'validation image')}")
    return {"bfloat16": PrecisionCost(fall=100 * (first - second), images=images)}
