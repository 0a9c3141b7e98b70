"""By how much the logits of rare classes are raised in a trained network: by what scores best on validation images.

A network learns how frequent classes are, and where a rare one is doubtful it names a frequent one. That is right for
the number of right pixels, but not for mean IoU, in which all classes count alike. Source: Menon et al., "Long-tail
learning via logit adjustment", 2021, section 4.1; the factor is chosen, as in its section 6.
"""

import logging
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.data.pairs import read_pair
from segwright.evaluation import ConfusionMatrix
from segwright.inference import logit_blocks
from segwright.inference.runtimes import PyTorchRuntime
from segwright.networks import SegmentationNetwork
from segwright.training.data_loaders import TrainingData
from segwright.training.measurements import FEWEST_IMAGES, TimeLimit, drawn_pairs
from segwright.training.train_step import TrainState

FACTORS: Final = (0.0, -0.125, 0.0625, 0.125, 0.1875, 0.25, 0.375)
"""Of minus the logarithm of a class's share of the labelled pixels in training; the first changes nothing."""

SMALLEST_GAIN: Final = 0.002
"""Of mean IoU; less is chance."""

_RAREST_SHARE: Final = 1e-4
_SHARE, _LEAST_SECONDS, _MOST_SECONDS = 0.01, 5.0, 60.0  # of the time of the training

logger = logging.getLogger(__name__)


def seconds_to_choose(elapsed: float) -> float:
    """How long the choice may take after a training of so many seconds: a hundredth, within 5 to 60 seconds."""
    return min(max(_SHARE * elapsed, _LEAST_SECONDS), _MOST_SECONDS)


def class_bias(histogram: NDArray[np.int64], factor: float) -> Tensor:
    """What is added to the logits of classes with so many labelled pixels: float32 [C], the rarer the larger."""
    shares = np.maximum(histogram / max(histogram.sum(), 1), _RAREST_SHARE)
    return torch.from_numpy(-factor * np.log(shares)).float()


def choose_factor(
    network: SegmentationNetwork, scale: float, state: TrainState, data: TrainingData, limit: TimeLimit
) -> float:
    """The one of `FACTORS` with the highest mean IoU on up to 50 whole validation images, as many as the time allows;
    0 where none is clearly better. All processes call it together, each with its share.
    """
    runtime, processes, prepared = PyTorchRuntime(network.eval(), state.precision), state.processes, data.prepared
    label_map, pixel_format = prepared.validation.label_map, prepared.pixel_format
    biases = [class_bias(prepared.train.histogram, factor)[:, None, None].to(state.device) for factor in FACTORS]
    matrices, images = [ConfusionMatrix(prepared.num_classes) for _ in FACTORS], 0
    with processes.raise_on_all():
        for pair in limit.take(drawn_pairs(data)):
            image, mask = read_pair(pair, label_map, pixel_format)
            for block in logit_blocks(runtime, image, scale=scale):
                labels = mask[block.rows, block.columns]
                for matrix, bias in zip(matrices, biases, strict=True):
                    matrix.update(labels, (block.logits + bias).argmax(0).to(torch.uint8).cpu().numpy())
            images += 1
    for matrix in matrices:
        processes.sum(torch.from_numpy(matrix.counts))
    if int(processes.sum(torch.tensor(images))) < FEWEST_IMAGES:
        return 0.0
    scores = [matrix.scores(prepared.class_names).mean_iou_present for matrix in matrices]
    best = max(range(len(FACTORS)), key=scores.__getitem__)
    return FACTORS[best] if scores[best] - scores[0] >= SMALLEST_GAIN else 0.0
