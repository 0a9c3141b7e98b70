"""The temperature of a trained network: what its logits are divided by, so that its probabilities are right on average.

Source: Guo et al. 2017 (On Calibration of Modern Neural Networks), section 4.2.
"""

import logging
import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segwright.data.pairs import read_pair
from segwright.inference import Block, logit_blocks
from segwright.inference.runtimes import PyTorchRuntime
from segwright.labels import IGNORE
from segwright.networks import SegmentationNetwork
from segwright.training.data_loaders import TrainingData
from segwright.training.measurements import FEWEST_IMAGES, TimeLimit, drawn_pairs
from segwright.training.train_step import TrainState
from segwright.wording import counted, duration

logger = logging.getLogger(__name__)

_PIXELS: Final = 2000  # drawn of each image
_LARGEST: Final = 10.0  # temperature; the smallest is its inverse
_HALVINGS: Final = 30
_SHARE, _LEAST_SECONDS, _MOST_SECONDS = 0.01, 5.0, 60.0  # of the time of the training


def seconds_for_fit(elapsed: float) -> float:
    """How long a fit may take after a training of so many seconds: a hundredth, within 5 to 60 seconds."""
    return min(max(_SHARE * elapsed, _LEAST_SECONDS), _MOST_SECONDS)


def fit_on_validation(
    network: SegmentationNetwork, scale: float, state: TrainState, data: TrainingData, limit: TimeLimit
) -> float | None:
    """Fit the temperature of a network that sees images at `scale`, on pixels of up to 50 whole validation images drawn
    at random, as many as the time allows, and log it; all processes call it together, each with its share. None with
    too few images.
    """
    label_map, pixel_format = data.prepared.validation.label_map, data.prepared.pixel_format
    samples, processes = list[tuple[Tensor, Tensor]](), state.processes
    with processes.raise_on_all():
        runtime = PyTorchRuntime(network.eval(), state.precision)
        for pair in limit.take(drawn_pairs(data)):
            image, mask = read_pair(pair, label_map, pixel_format)
            blocks = logit_blocks(runtime, image, scale=scale)
            samples.append(_draw_pixels(blocks, mask, data.prepared.num_classes, seed=len(samples)))
    every = [sample for share in processes.gather(samples) for sample in share if len(sample[1])]
    if len(every) < FEWEST_IMAGES:
        predicted = f"{counted(len(every), 'validation image')} with labels in {duration(limit.seconds)}"
        logger.info(f"no temperature is fitted: only {predicted} could be predicted")
        return None
    temperature = None
    with processes.raise_on_all():
        if processes.is_main:
            logits, labels = torch.cat([sample[0] for sample in every]), torch.cat([sample[1] for sample in every])
            temperature = fit_temperature(logits, labels)
            before, after = (float(nn.functional.cross_entropy(logits / by, labels)) for by in (1, temperature))
            logger.info(
                f"temperature {temperature:g}: probabilities of logits divided by it have a cross-entropy of "
                f"{after:.4f}, not {before:.4f}, on {counted(len(every), 'validation image')}"
            )
    return processes.gather(temperature)[0]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature from 0.1 to 10 with the lowest cross-entropy of logits, float [N, C], and labels, int64 [N]."""
    logits = logits.double()
    of_labels = logits.gather(1, labels[:, None]).mean()
    low, high = -math.log(_LARGEST), math.log(_LARGEST)  # of the factor 1 / temperature, in which the loss is convex
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = ((math.exp(middle) * logits).softmax(1) * logits).sum(1).mean()
        low, high = (low, middle) if expected > of_labels else (middle, high)
    return float(f"{math.exp(-(low + high) / 2):.4g}")


def _draw_pixels(
    blocks: Iterable[Block], mask: NDArray[np.uint8], num_classes: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Logits, float32 [N, C], and labels, int64 [N], of pixels drawn with replacement; none where none is labelled."""
    labelled = np.flatnonzero(mask != IGNORE)
    drawn = labelled[np.random.default_rng(seed).integers(len(labelled), size=_PIXELS)] if len(labelled) else labelled
    rows, columns = (torch.from_numpy(index) for index in np.unravel_index(drawn, mask.shape))
    logits = torch.empty(len(drawn), num_classes)
    for block in blocks:
        top, left = block.rows.start, block.columns.start
        here = (top <= rows) & (rows < block.rows.stop) & (left <= columns) & (columns < block.columns.stop)
        y, x = (index.to(block.logits.device) for index in (rows[here] - top, columns[here] - left))
        logits[here] = block.logits[:, y, x].T.cpu()
    return logits, torch.from_numpy(mask.ravel()[drawn].astype(np.int64))
