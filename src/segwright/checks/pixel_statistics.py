"""What the pixels of a data set look like: how many bands of how many bits, and their statistics.

Knows the natural forms of files and what somebody wishes of them. Refuses to know masks and classes. Colour pictures
of 8 bits are normalised as the backbone's weights are used to; for all others, mean and spread are taken from the
training images.
"""

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import Numbers, PixelFormat, Pixels
from segwright.wording import sentences

if TYPE_CHECKING:
    from segwright.checks.scan import PairScan

_NUMBERS_AT_ONCE: Final = 1 << 18


@dataclass(frozen=True)
class RequestedFormat:
    """What is already settled about the pixels; None leaves it to the files."""

    bands: int | None = None
    bit_depth: int | None = None
    upright: bool = False
    numbers: Numbers | None = None

    @classmethod
    def exactly(cls, form: PixelFormat) -> Self:
        """The wish for just this form."""
        return cls(form.bands, form.bit_depth, form.exif_transposed, form.numbers)

    def of(self, natural: PixelFormat) -> PixelFormat:
        """The form that an image of some natural form is to have."""
        return PixelFormat(
            self.bands or natural.bands,
            self.bit_depth or natural.bit_depth,
            self.upright,
            self.numbers or natural.numbers,
        )


AS_THEY_ARE: Final = RequestedFormat()
"""The wish that leaves everything to the files."""


@dataclass(frozen=True, eq=False)
class BandSums:
    """Statistics of the bands of some images, of the pixels that have data; numbers of 8 and 16 bits without a sign are
    scaled to 0...1.
    """

    pixels: NDArray[np.int64]
    """How many pixels have data, [bands]."""
    mean: NDArray[np.float64]
    """Their mean, [bands]."""
    squares: NDArray[np.float64]
    """Sum of the squares of their distances from the mean, [bands]."""

    @classmethod
    def over(cls, image: Pixels, no_data: float | None = None) -> Self:
        """Those of one image, [H, W, bands], in which NaN and `no_data` are no data."""
        bands = image.shape[2]
        total = cls(np.zeros(bands, np.int64), np.zeros(bands), np.zeros(bands))
        rows = max(_NUMBERS_AT_ONCE // (image.shape[1] * bands), 1)
        for start in range(0, len(image), rows):  # whole images as float64 would take eight times their memory
            total = total.joined(cls._of_part(image[start : start + rows].reshape(-1, bands), no_data))
        return total

    @classmethod
    def _of_part(cls, pixels: NDArray[Any], no_data: float | None) -> Self:
        """Those of some pixels, [N, bands]."""
        known = ~np.isnan(pixels) if pixels.dtype == np.float32 else np.ones(pixels.shape, np.bool_)
        if no_data is not None:
            known &= pixels != no_data
        largest = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
        values = np.where(known, pixels, 0) / np.float64(largest)
        count = known.sum(0)
        mean = values.sum(0) / np.maximum(count, 1)
        distances = np.where(known, values - mean, 0)
        return cls(count, mean, (distances * distances).sum(0))

    def joined(self, other: Self) -> Self:
        """Those of both together.

        Source: Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances (1979).
        """
        pixels = self.pixels + other.pixels
        share = other.pixels / np.maximum(pixels, 1)
        step = other.mean - self.mean
        mean = self.mean + step * share
        return type(self)(pixels, mean, self.squares + other.squares + step * step * self.pixels * share)


@dataclass(frozen=True)
class BandStatistics:
    """Mean and standard deviation of each band: of values from 0 to 1 for numbers of 8 and 16 bits without a sign, of
    the numbers themselves for all others.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_form(image: EncodedImage, wish: RequestedFormat) -> tuple[PixelFormat, BandSums | None]:
    """The form that an image gets, and its sums where it is to be normalised by its own statistics.

    Raises DataError where the file cannot have that form.
    """
    form = wish.of(image.pixel_format)
    if form.is_plain_colour and image.pixel_format.is_plain_colour:
        return form, None
    pixels = image.decode(form)
    return form, None if form.is_plain_colour else BandSums.over(pixels, image.no_data)


def settle_form(readings: Sequence["PairScan"], channel: str) -> PixelFormat:
    """The one form of all images of a channel. Raises DataError where they differ, or where some cannot have it."""
    misfits = [reading.misfit for reading in readings if reading.misfit]
    if misfits:
        raise DataError(f"{channel}: {sentences(misfits)}")
    examples: defaultdict[PixelFormat, list[str]] = defaultdict(list)
    for reading in readings:
        examples[reading.form].append(reading.pair.image.name)
    if len(examples) > 1:
        kinds = "; ".join(f"{len(names)} have {form} ({names[0]})" for form, names in examples.items())
        raise DataError(
            f"{channel}: the images are not of one kind: {kinds}. A network takes one kind: convert them, or where "
            "they differ in bands only, say how many to read with --bands."
        )
    return next(iter(examples))


def band_statistics(readings: Sequence["PairScan"]) -> BandStatistics | None:
    """Mean and spread over all images, or None for colour pictures of 8 bits."""
    sums = [reading.sums for reading in readings if reading.sums is not None]
    if not sums:
        return None
    total = functools.reduce(BandSums.joined, sums)
    std = np.sqrt(total.squares / np.maximum(total.pixels, 1))
    least = 1e-7 * np.abs(total.mean) if readings[0].form.dtype == np.float32 else 1e-6
    std = np.where(std > least, std, 1.0)  # a band that never changes: any divisor will do
    return BandStatistics(tuple(total.mean.tolist()), tuple(std.tolist()))
