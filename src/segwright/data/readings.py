"""Every pair of a channel read once, in parallel, and boiled down to what the data check needs.

Knows how to read, verify and count. Refuses to judge what was counted, and keeps no pixels.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.data.folders import Pair
from segwright.errors import DataError
from segwright.formats.images import verify_image
from segwright.formats.masks import MaskArray, decode_mask

_COUNTED_AT_ONCE: Final = 1 << 20  # pixels; numpy widens each to 8 bytes while it counts


@dataclass(frozen=True, eq=False)
class Reading:
    """What one readable pair holds; sizes are (height, width) in pixels."""

    pair: Pair
    image_size: tuple[int, int]
    mask_size: tuple[int, int]
    values: NDArray[np.int64]
    """The different pixel values of the mask, [N], ascending, before any label map."""
    counts: NDArray[np.int64]
    """How many pixels have each value, [N]."""
    digest: bytes
    """Hash over key and bytes of the pair."""


def read_all(
    pairs: Sequence[Pair], progress: Callable[[int, int], None] | None = None
) -> tuple[list[Reading], list[str]]:
    """Read all pairs; returns the readable ones in order, and a sentence for each that is not.

    One thread for each processor, each of which holds one pair in memory. `progress` is called with (done,
    all).
    """
    readings: list[Reading] = []
    problems: list[str] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        # an exception here (Ctrl-C above all) drops the iterator of map(), which cancels what has not begun
        for done, outcome in enumerate(pool.map(_read, pairs), 1):
            if isinstance(outcome, Reading):
                readings.append(outcome)
            else:
                problems.append(outcome)
            if progress is not None:
                progress(done, len(pairs))
    return readings, problems


def combine(readings: Sequence[Reading]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All different pixel values of some masks, [N], ascending, and how many pixels have each, [N]."""
    values, where = np.unique(np.concatenate([reading.values for reading in readings]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, where, np.concatenate([reading.counts for reading in readings]))
    return values, counts


def fingerprint(readings: Sequence[Reading]) -> str:
    """A hash over keys and file bytes, whatever the order of the pairs and the folders they lie in."""
    digests = sorted(reading.digest for reading in readings)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _read(pair: Pair) -> Reading | str:
    """One pair, or why it cannot be read."""
    try:
        image, mask = pair.image.read_bytes(), pair.mask.read_bytes()
        image_size = verify_image(image, str(pair.image))
        numbers = decode_mask(mask, str(pair.mask))
    except DataError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}."
    values, counts = _count(numbers)
    height, width = numbers.shape
    return Reading(pair, image_size, (height, width), values, counts, _digest(pair.key, image, mask))


def _count(numbers: MaskArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different numbers of a mask, ascending, and how often each occurs."""
    flat = numbers.ravel()
    totals = np.zeros(np.iinfo(numbers.dtype).max + 1, np.int64)
    for start in range(0, flat.size, _COUNTED_AT_ONCE):
        totals += np.bincount(flat[start : start + _COUNTED_AT_ONCE], minlength=totals.size)
    values = np.flatnonzero(totals)
    return values, totals[values]


def _digest(key: str, image: bytes, mask: bytes) -> bytes:
    parts = (hashlib.sha256(part).digest() for part in (key.encode(errors="surrogateescape"), image, mask))
    return hashlib.sha256(b"".join(parts)).digest()
