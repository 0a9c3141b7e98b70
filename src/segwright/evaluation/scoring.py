"""Scores of a network on pairs of images and masks: one code path for validation and `evaluate`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.data.augment import apply_crop, validation_crop
from segwright.data.folders import Pair
from segwright.data.pairs import read_pair
from segwright.evaluation.confusion import ConfusionMatrix
from segwright.inference.logits import image_mask
from segwright.labels import LabelMap
from segwright.networks import SegmentationNetwork


def count_pairs(
    network: SegmentationNetwork,
    pairs: Sequence[Pair],
    label_map: LabelMap,
    device: torch.device,
    after_each: Callable[[], None],
    precision: torch.dtype = torch.float32,
    crop_size: int | None = None,
) -> ConfusionMatrix:
    """Predict every image and count its pixels against its mask.

    An image is scored whole, at its own size, or with `crop_size` as GluonCV scores validation images: scaled so that
    its short side has that many pixels, and only the square at its centre. The network is put into evaluation mode and
    left there. `after_each` is called after every image; an exception that it raises ends the count. Raises DataError
    when a file cannot be read.
    """
    network.eval()
    matrix = ConfusionMatrix(network.spec.num_classes)
    for image, mask in _read_ahead(pairs, label_map):
        if crop_size is not None:
            height, width = mask.shape
            image, mask = apply_crop(validation_crop(height, width, crop_size), image, mask)
        matrix.update(mask, image_mask(network, image, device=device, precision=precision))
        after_each()
    return matrix


def _read_ahead(pairs: Iterable[Pair], label_map: LabelMap) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Decode the next pair while the network looks at this one; never more than two in memory."""
    with ThreadPoolExecutor(1) as reader:
        coming = None
        for pair in pairs:
            following = reader.submit(read_pair, pair, label_map)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
