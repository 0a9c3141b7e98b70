"""Statistics of label maps that say how to train: shares and widths of classes, directions, and what colour tells."""

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.checks.label_directions import ENOUGH_IMAGES, DirectionCounts, judge_directions
from segwright.checks.label_widths import MaskWidths
from segwright.data.pairs import Pair, read_mask_numbers
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import RGB, PixelFormat
from segwright.labels import LabelMap, numbered_names
from segwright.resources import available_cores

_IMAGES: Final = 200  # that are measured at most
_MASK_PIXELS: Final = 4_000_000  # of larger masks only every second, third, ... row and column is measured
_COLOUR_PIXELS: Final = 250_000  # to which images are reduced, where decoding can do that
_CHROMA_BINS: Final = 16


@dataclass(frozen=True)
class LabelStatistics:
    """What a sample of the labels shows. Lengths are in pixels of full-size masks; tuples have one entry a class, and
    those that are None belong to classes that the sample lacks.
    """

    images: int  # how many pairs were measured
    long_side: float  # median
    short_side: float
    shares: tuple[float, ...]  # of the labelled pixels
    widths: tuple[float | None, ...]
    """The typical width of what belongs to the class: of a strip its width, of a disc two thirds of its diameter."""
    has_up: bool  # images turned upside down would be wrong
    up_reason: str
    has_left: bool  # mirror images would be wrong
    left_reason: str
    has_direction: bool  # images rotated by 90 degrees would be wrong
    direction_reason: str
    colour_accuracy: float | None
    """The mean share of a class's pixels that their chroma alone assigns to it, on images that were not used to learn
    that; chance is one over the number of classes. None where images are not 8-bit colour, or are too few."""


class _Measured(NamedTuple):
    """One pair. Lengths are in full-size pixels."""

    size: tuple[int, int]
    shapes: MaskWidths
    reduction: int  # of the mask
    directions: DirectionCounts


def measure_labels(
    pairs: Sequence[Pair],
    label_map: LabelMap,
    num_classes: int,
    *,
    class_names: Sequence[str] = (),
    pixel_format: PixelFormat = RGB,
    after_each: Callable[[], None] = lambda: None,
) -> LabelStatistics:
    """Measure at least one pair, and at most 200, evenly spaced over `pairs`, in parallel. `after_each` is called after
    each; what it raises ends the measurement. Raises DataError for a pair that cannot be read.
    """
    count = min(len(pairs), _IMAGES)
    sample = [pairs[index] for index in np.linspace(0, len(pairs) - 1, count).round().astype(int)]
    measured, chroma = [], np.zeros((2, num_classes, _CHROMA_BINS**2), np.int64)
    with closing(_measure_all(sample, label_map, num_classes, pixel_format)) as results:
        for number, (result, its_chroma) in enumerate(results):
            measured.append(result)
            chroma[2 * number // count] += its_chroma
            after_each()
    return _summary(
        measured,
        class_names or numbered_names(num_classes),
        _colour_accuracy(*chroma) if count >= ENOUGH_IMAGES else None,
    )


def _summary(measured: Sequence[_Measured], names: Sequence[str], colour_accuracy: float | None) -> LabelStatistics:
    pixels = np.stack([one.shapes.pixels * one.reduction**2 for one in measured])
    widths = np.stack([one.shapes.widths * one.reduction for one in measured])
    up, left, direction = judge_directions([one.directions for one in measured], names)
    return LabelStatistics(
        images=len(measured),
        long_side=float(np.median([max(one.size) for one in measured])),
        short_side=float(np.median([min(one.size) for one in measured])),
        shares=tuple((pixels.sum(0) / max(pixels.sum(), 1)).tolist()),
        widths=_medians(widths, pixels),
        has_up=up.holds,
        up_reason=up.reason,
        has_left=left.holds,
        left_reason=left.reason,
        has_direction=direction.holds,
        direction_reason=direction.reason,
        colour_accuracy=colour_accuracy,
    )


def _measure_all(
    pairs: Sequence[Pair], label_map: LabelMap, num_classes: int, pixel_format: PixelFormat
) -> Generator[tuple[_Measured, NDArray[np.int64]], None, None]:
    measure = partial(_measure, label_map=label_map, num_classes=num_classes, pixel_format=pixel_format)
    with ThreadPoolExecutor(available_cores()) as pool:
        yield from pool.map(measure, pairs)


def _measure(
    pair: Pair, label_map: LabelMap, num_classes: int, pixel_format: PixelFormat
) -> tuple[_Measured, NDArray[np.int64]]:
    """One pair, and its pixels by class and bin of chroma, [C, bins]."""
    mask = label_map.apply(read_mask_numbers(pair))
    reduction = math.isqrt(max(mask.size - 1, 0) // _MASK_PIXELS) + 1
    reduced = np.ascontiguousarray(mask[::reduction, ::reduction])
    measured = _Measured(
        size=(mask.shape[0], mask.shape[1]),
        shapes=MaskWidths.of(reduced, num_classes),
        reduction=reduction,
        directions=DirectionCounts.of(reduced, num_classes),
    )
    if pixel_format.is_plain_colour:
        return measured, _chroma_counts(pair, mask, num_classes, pixel_format)
    return measured, np.zeros((num_classes, _CHROMA_BINS**2), np.int64)


def _chroma_counts(
    pair: Pair, mask: NDArray[np.uint8], num_classes: int, pixel_format: PixelFormat
) -> NDArray[np.int64]:
    """Pixels by class and bin of chroma, [C, bins]: a and b of CIELAB from -64 to 63 in 16 bins each."""
    image = EncodedImage(pair.image.read(), pair.image.name)
    pixels, factor = image.decode_reduced(pixel_format, math.isqrt(mask.size // _COLOUR_PIXELS))
    rows, columns = (
        np.minimum(np.arange(reduced) * factor + factor // 2, full - 1)
        for reduced, full in zip(pixels.shape[:2], mask.shape, strict=True)
    )
    classes = mask[rows[:, None], columns] if factor > 1 else mask
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    ab = (np.clip(lab[..., 1:], 64, 191) - 64) // (128 // _CHROMA_BINS)
    bins = (classes.astype(np.int32) * _CHROMA_BINS + ab[..., 0]) * _CHROMA_BINS + ab[..., 1]
    return np.bincount(bins.ravel(), minlength=256 * _CHROMA_BINS**2).reshape(256, -1)[:num_classes]


def _medians(values: NDArray[Any], weights: NDArray[np.int64]) -> tuple[float | None, ...]:
    """The weighted median of each column of [N, C], None where it has no weight."""
    medians: list[float | None] = []
    for column, weight in zip(values.T, weights.T, strict=True):
        order = np.argsort(column)
        sums = np.cumsum(weight[order])
        medians.append(float(column[order][np.searchsorted(sums, sums[-1] / 2)]) if sums[-1] else None)
    return tuple(medians)


def _colour_accuracy(train: NDArray[np.int64], test: NDArray[np.int64]) -> float | None:
    """The balanced accuracy of the likeliest class of each bin, from pixels by class and bin, [C, bins]."""
    present = (train.sum(1) > 0) & (test.sum(1) > 0)
    if present.sum() < 2:
        return None
    train, test = train[present], test[present]
    likelihoods = (train + 1) / (train.sum(1, keepdims=True) + train.shape[1])
    found = likelihoods.argmax(0) == np.arange(len(test))[:, None]
    return float(((test * found).sum(1) / test.sum(1)).mean())
