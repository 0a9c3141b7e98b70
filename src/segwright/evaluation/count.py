"""Scores of a network on pairs of images and masks: one code path for validation and `evaluate`."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.checks.stream import StreamCheck
from segwright.data.pairs import Pair, read_pair
from segwright.data.transforms import apply_crop, center_crop
from segwright.errors import DataError
from segwright.evaluation.metrics import ConfusionMatrix
from segwright.formats.pixels import RGB, PixelFormat, Pixels
from segwright.inference.logits import image_mask
from segwright.labels import LabelMap
from segwright.networks import SegmentationNetwork


def count_pairs(
    network: SegmentationNetwork,
    pairs: Iterable[Pair],
    label_map: LabelMap,
    device: torch.device,
    after_each: Callable[[], None],
    precision: torch.dtype = torch.float32,
    crop_size: int | None = None,
    *,
    form: PixelFormat = RGB,
    passing: StreamCheck | None = None,
    skipped: list[str] | None = None,
) -> ConfusionMatrix:
    """Predict every image and count its pixels against its mask.

    An image is scored whole, at its own size, or with `crop_size` as GluonCV scores validation images: scaled so that
    its short side has that many pixels, and only the square at its centre. The network is put into evaluation mode and
    left there. `after_each` is called after every image; an exception that it raises ends the count. `form` is what
    images are read as; `passing` judges pairs that nobody has seen before, and `skipped` receives a sentence for each
    that cannot be read. Raises DataError when a file cannot be read.
    """
    network.eval()
    matrix = ConfusionMatrix(network.spec.num_classes)
    for image, mask in _read_ahead(pairs, _Reader(label_map, form, passing, [] if skipped is None else skipped)):
        if crop_size is not None:
            height, width = mask.shape
            image, mask = apply_crop(center_crop(height, width, crop_size), image, mask)
        matrix.update(mask, image_mask(network, image, device=device, precision=precision))
        after_each()
    return matrix


@dataclass(frozen=True)
class _Reader:
    """How pairs are read; `passing` judges those that nobody has seen before."""

    label_map: LabelMap
    form: PixelFormat
    passing: StreamCheck | None
    skipped: list[str]

    def __call__(self, pair: Pair) -> tuple[Pixels, NDArray[np.uint8]] | None:
        """Image and mask, or None for a pair of a stream that is skipped."""
        if self.passing is None:
            return read_pair(pair, self.label_map, self.form)
        try:
            return read_pair(pair, self.label_map, self.form, num_classes=self.passing.num_classes)
        except DataError:
            self.skipped.append(self.passing.why_skipped(pair, self.label_map))
            return None


def _read_ahead(pairs: Iterable[Pair], read: _Reader) -> Iterator[tuple[Pixels, NDArray[np.uint8]]]:
    """Decode the next pair while the network looks at this one; never more than two in memory."""
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for pair in pairs:
            following = pool.submit(read, pair)
            if coming is not None and (result := coming.result()) is not None:
                yield result
            coming = following
        if coming is not None and (result := coming.result()) is not None:
            yield result
