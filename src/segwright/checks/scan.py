"""Each pair of a channel read once, in parallel, and reduced to what the rules of the data check need."""

import hashlib
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.pixel_statistics import AS_STORED, BandSums, RequestedFormat, read_form
from segwright.data.pairs import Pair, decode_mask_of
from segwright.errors import DataError, FractionError
from segwright.formats.images import EncodedImage
from segwright.formats.masks import MaskArray
from segwright.formats.palettes import palette_colours, stored_palette
from segwright.formats.pixels import Note, PixelFormat
from segwright.labels import HIGHEST_PIXEL, NO_DATA
from segwright.resources import available_cores

_REMOTE_AT_ONCE: Final = 16  # pairs in flight where bytes come over a network
_AS_IN_AN_IMAGE: Final = 64  # different values; there may be as many classes
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
    values: NDArray[np.int64]  # those of the mask, [N], ascending, before any label map; -1 is no data
    counts: NDArray[np.int64]  # how many pixels have each value, [N]
    digest: bytes  # hash over key and bytes of the pair, and over its colour map where that had to correct the mask
    image_digest: bytes
    mask_digest: bytes
    pixel_format: PixelFormat  # what the image's pixels are read as
    orientation: int = 1  # EXIF orientation, 1 to 8; 1 is upright
    form_error: str = ""  # why the image cannot be read in the requested format, or nothing
    image_notes: tuple[Note, ...] = ()  # what was dropped of the image or assumed of it
    mask_notes: tuple[Note, ...] = ()
    repaired: bool = False  # whether the colours of the mask were taken in place of its indices
    sums: BandSums | None = None  # sums over the image's bands, where it is not plain 8-bit colour
    colours: NDArray[np.int32] | None = None  # of `values`, [N], by `palette_colours`; none where corrected


@dataclass(frozen=True)
class Unreadable:
    """A pair that cannot be used."""

    pair: Pair
    why: str  # a sentence
    rule: str = ""  # the rule that refuses the channel because of it; empty where the pair alone is left out


def image_names(scans: Iterable[PairScan]) -> tuple[str, ...]:
    """The files of images."""
    return tuple(scan.pair.image.name for scan in scans)


def scan_pairs(
    pairs: Sequence[Pair], requested: RequestedFormat = AS_STORED
) -> Generator[PairScan | Unreadable, None, None]:
    """Read all pairs and yield what each holds, in order. Closing the generator cancels what has not begun. One thread
    for each processor, more where a network is waited for; each holds one pair in memory.
    """
    remote = any(pair.image.remote or pair.mask.remote for pair in pairs)
    with ThreadPoolExecutor(max_workers=_REMOTE_AT_ONCE if remote else available_cores()) as pool:
        yield from pool.map(partial(scan_pair, requested=requested), pairs)


def scan_pair(pair: Pair, requested: RequestedFormat = AS_STORED) -> PairScan | Unreadable:
    """What one pair holds, or why it cannot be used: the channel is refused for numbers between whole ones, since other
    masks of that origin may be wrong unseen, and for a mask that is a copy of its image, unless all pixels are equal.
    """
    try:
        image, mask = EncodedImage(pair.image.read(), pair.image.name), pair.mask.read()
        image.verify()
        numbers, mask_notes, repaired = decode_mask_of(pair, mask)
        palette = None if pair.palette_classes else stored_palette(mask, pair.mask.name)
    except DataError as error:
        return Unreadable(pair, str(error), "fractions" if isinstance(error, FractionError) else "")
    values, counts = _count(numbers)
    natural = replace(image.pixel_format, exif_transposed=requested.upright)
    same_bytes = image.data == mask and len(values) > 1
    if same_bytes or _shows(image, natural, numbers, values):
        what = f"{pair.mask.name} would be its own image: it holds the same {'bytes' if same_bytes else 'image'} as"
        return Unreadable(pair, f"{what} {pair.image.name}. Check which folder holds the masks.", "mask_is_image")
    pixel_format, sums, form_error = natural, None, ""
    try:
        pixel_format, sums = read_form(image, requested)
    except DataError as error:
        form_error = str(error)
    parts = [pair.key.encode(errors="surrogateescape"), image.data, mask]
    parts += [repr(pair.palette_classes).encode()] * repaired
    digests = [hashlib.sha256(part).digest() for part in parts]
    return PairScan(
        pair=pair,
        image_size=image.size(requested.upright),
        mask_size=numbers.shape,
        values=values,
        counts=counts,
        digest=hashlib.sha256(b"".join(digests)).digest(),
        image_digest=digests[1],
        mask_digest=digests[2],
        pixel_format=pixel_format,
        orientation=image.orientation,
        form_error=form_error,
        image_notes=image.notes(pixel_format.bands),
        mask_notes=mask_notes,
        repaired=repaired,
        sums=sums,
        colours=None if palette is None else palette_colours(palette, values),
    )


def _shows(image: EncodedImage, natural: PixelFormat, numbers: MaskArray, values: NDArray[np.int64]) -> bool:
    """Whether a mask of so many values that it may be an image is its image in grey, saved anew."""
    same_size = numbers.shape == image.size(natural.exif_transposed)
    if len(values) < _AS_IN_AN_IMAGE or not same_size or not natural.is_plain_colour:
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
    present = np.flatnonzero(totals)
    return present + first, totals[present]
