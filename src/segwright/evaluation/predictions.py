"""Labels and predictions of pairs: one code path for validation and `evaluate`."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel import StreamCheck
from segwright.data.crops import center_crop
from segwright.data.pairs import Pair, read_pair
from segwright.data.transforms import apply_crop
from segwright.errors import DataError
from segwright.formats.pixels import PixelFormat, Pixels
from segwright.inference.logits import assemble, logit_blocks
from segwright.inference.runtimes import Runtime
from segwright.labels import LabelMap

Mask = NDArray[np.uint8]
ReadPair = tuple[Pixels, Mask]


def predict_pairs(
    runtime: Runtime,
    pairs: Iterable[Pair],
    label_map: LabelMap,
    pixel_format: PixelFormat,
    *,
    scale: float = 1.0,
    tta: bool = False,
    crop_size: int | None = None,
    check: StreamCheck | None = None,
    skipped: list[str] | None = None,
) -> Iterator[tuple[Mask, Mask]]:
    """Yield the labels of every pair, 255 = ignore, and the classes that are predicted: both uint8 [H, W].

    An image is predicted whole, at its own size, or with `crop_size` as GluonCV validates: scaled so that its short
    side has that many pixels, and only the square at its centre. `scale` and `tta` are those of
    `inference.logits.logit_blocks`. `check` judges the pairs of a stream; `skipped` receives a sentence for each that
    cannot be read. Raises DataError when a file cannot be read.
    """

    def read(pair: Pair) -> ReadPair | None:
        num_classes = check.num_classes if check else None
        try:
            return read_pair(pair, label_map, pixel_format, num_classes=num_classes)
        except DataError:
            if check is None or skipped is None:
                raise
            skipped.append(check.why_skipped(pair, label_map))
            return None

    for image, labels in _read_ahead(pairs, read):
        if crop_size is not None:
            height, width = labels.shape
            image, labels = apply_crop(center_crop(height, width, crop_size), image, labels)
        prediction = np.empty_like(labels)
        seen_at = scale if crop_size is None else 1.0  # a crop has its size already
        assemble(logit_blocks(runtime, image, scale=seen_at, tta=tta), prediction)
        yield labels, prediction


def _read_ahead(pairs: Iterable[Pair], read: Callable[[Pair], ReadPair | None]) -> Iterator[ReadPair]:
    """Decode the next pair while the network is at work on this one; never more than two in memory."""
    reading: deque[Future[ReadPair | None]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for pair in pairs:
            reading.append(pool.submit(read, pair))
            if len(reading) > 1 and (sample := reading.popleft().result()) is not None:
                yield sample
        if reading and (sample := reading.popleft().result()) is not None:
            yield sample
