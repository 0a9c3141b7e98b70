"""Every pair of a channel read once, in parallel, and boiled down to what the data check needs.

Knows how to read, verify and count. Refuses to judge what was counted, and keeps no pixels.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.pixel_statistics import AS_THEY_ARE, BandSums, RequestedFormat, read_form
from segwright.data.pairs import Pair, decode_mask_of
from segwright.errors import DataError, FractionError
from segwright.formats.images import EncodedImage
from segwright.formats.mask_numbers import MaskArray
from segwright.formats.palettes import palette_colours, stored_palette
from segwright.formats.pixels import Note, PixelFormat
from segwright.labels import HIGHEST_PIXEL, NO_DATA
from segwright.resources import available_cores

_REMOTE_AT_ONCE: Final = 16  # pairs whose bytes are on their way; a network is waited for, not computed with
_AS_IN_A_PICTURE: Final = 64  # different values; there may be as many classes
_EACH: Final = 3  # pixels between those that are compared
_ROUNDING: Final = 16  # levels, by which programs differ in what is grey
_THE_SAME: Final = 0.95  # a correlation that no classes have with brightness
_COUNTED_AT_ONCE: Final = 1 << 20  # pixels; numpy widens each to 8 bytes while it counts


@dataclass(frozen=True, eq=False)
class PairScan:
    """What one readable pair holds; sizes are (height, width) in pixels."""

    pair: Pair
    image_size: tuple[int, int]
    mask_size: tuple[int, int]
    values: NDArray[np.int64]
    """The different pixel values of the mask, [N], ascending, before any label map; -1 is no data."""
    counts: NDArray[np.int64]
    """How many pixels have each value, [N]."""
    digest: bytes
    """Hash over key and bytes of the pair, and over its colour map where that had to correct the mask."""
    image_digest: bytes
    """Hash over the bytes of the image alone."""
    mask_digest: bytes
    """Hash over the bytes of the mask alone."""
    form: PixelFormat
    """What the image's pixels are read as."""
    orientation: int = 1
    """How the camera says that the picture is turned (EXIF), 1 to 8; 1 is upright."""
    misfit: str = ""
    """Why the image cannot be read as wished, or nothing."""
    image_notes: tuple[Note, ...] = ()
    """What was dropped of the image or assumed of it."""
    mask_notes: tuple[Note, ...] = ()
    """The same of the mask."""
    repaired: bool = False
    """Whether the colours of the mask had to be believed in place of its indices."""
    sums: BandSums | None = None
    """Sums over the image's bands, where it is not plain 8-bit colour."""
    colours: NDArray[np.int32] | None = None
    """The palette's colours of `values`, [N], as `palette_colours` gives them; None where none say anything, or where
    palette classes correct the mask."""


def scan_pairs(
    pairs: Sequence[Pair], wish: RequestedFormat = AS_THEY_ARE, progress: Callable[[int, int], None] | None = None
) -> tuple[list[PairScan], list[str]]:
    """Read all pairs; returns the readable ones in order, and a sentence for each that is not.

    One thread for each processor (more where a network is waited for), each of which holds one pair in memory.
    `progress` is called with (done, all).
    """
    readings: list[PairScan] = []
    problems: list[str] = []
    remote = any(pair.image.remote or pair.mask.remote for pair in pairs)
    with ThreadPoolExecutor(max_workers=_REMOTE_AT_ONCE if remote else available_cores()) as pool:
        # an exception here (Ctrl-C above all) drops the iterator of map(), which cancels what has not begun
        for done, outcome in enumerate(pool.map(partial(scan_pair, wish=wish), pairs), 1):
            if isinstance(outcome, PairScan):
                readings.append(outcome)
            else:
                problems.append(outcome)
            if progress is not None:
                progress(done, len(pairs))
    return readings, problems


def combine(readings: Sequence[PairScan]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All different pixel values of some masks, [N], ascending, and how many pixels have each, [N]."""
    values, where = np.unique(np.concatenate([reading.values for reading in readings]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, where, np.concatenate([reading.counts for reading in readings]))
    return values, counts


def fingerprint(readings: Sequence[PairScan]) -> str:
    """A hash over keys and file bytes, whatever the order of the pairs and the folders they lie in."""
    digests = sorted(reading.digest for reading in readings)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def scan_pair(pair: Pair, wish: RequestedFormat = AS_THEY_ARE) -> PairScan | str:
    """What one pair holds, or a sentence that says why it cannot be read.

    Raises DataError where the mask is a copy of its image (where all its pixels are equal, that may be chance), and
    FractionError for numbers between whole ones, since other masks of their origin may be wrong unseen.
    """
    try:
        image, mask = EncodedImage(pair.image.read(), pair.image.name), pair.mask.read()
        image.verify()
        numbers, mask_notes, repaired = decode_mask_of(pair, mask)
        palette = None if pair.palette_classes else stored_palette(mask, pair.mask.name)
    except FractionError:
        raise
    except DataError as error:
        return str(error)
    values, counts = _count(numbers)
    natural = replace(image.pixel_format, exif_transposed=wish.upright)
    is_copy = image.data == mask and len(values) > 1
    same = "bytes" if is_copy else "picture" if _shows(image, natural, numbers, values) else ""
    if same:
        raise DataError(
            f"{pair.mask.name} would be its own image: it holds the same {same} as {pair.image.name}. Check which "
            "folder holds the masks."
        )
    misfit, form, sums = "", natural, None
    try:
        form, sums = read_form(image, wish)
    except DataError as error:
        misfit = str(error)
    height, width = numbers.shape
    key = pair.key.encode(errors="surrogateescape")
    parts = [key, image.data, mask]
    if repaired:
        parts.append(repr(pair.palette_classes).encode())
    digests = [hashlib.sha256(part).digest() for part in parts]
    return PairScan(
        pair=pair,
        image_size=image.size(wish.upright),
        mask_size=(height, width),
        values=values,
        counts=counts,
        digest=hashlib.sha256(b"".join(digests)).digest(),
        image_digest=digests[1],
        mask_digest=digests[2],
        form=form,
        orientation=image.orientation,
        misfit=misfit,
        image_notes=image.notes(form.bands),
        mask_notes=mask_notes,
        repaired=repaired,
        sums=sums,
        colours=None if palette is None else palette_colours(palette, values),
    )


def _shows(image: EncodedImage, natural: PixelFormat, numbers: MaskArray, values: NDArray[np.int64]) -> bool:
    """Whether a mask of so many values that it may be a picture is that of the image in grey, saved anew."""
    may_be = len(values) >= _AS_IN_A_PICTURE and numbers.shape == image.size(natural.exif_transposed)
    if not may_be or not natural.is_plain_colour:
        return False
    grey = image.decode(replace(natural, bands=1))[::_EACH, ::_EACH, 0]
    if grey.min() == grey.max():
        return False
    shown = numbers[::_EACH, ::_EACH]
    alike = np.abs(grey.astype(np.int32) - shown).mean() < _ROUNDING
    return bool(alike and np.corrcoef(grey.ravel(), shown.ravel())[0, 1] > _THE_SAME)


def _count(numbers: MaskArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different numbers of a mask, ascending, and how often each occurs."""
    flat = numbers.ravel()
    first = NO_DATA if numbers.dtype.kind == "i" else 0
    totals = np.zeros((HIGHEST_PIXEL if numbers.dtype.itemsize > 1 else 255) + 1 - first, np.int64)
    for start in range(0, flat.size, _COUNTED_AT_ONCE):
        part = flat[start : start + _COUNTED_AT_ONCE]
        totals += np.bincount(part - first if first else part, minlength=totals.size)
    places = np.flatnonzero(totals)
    return places + first, totals[places]
