"""What the pixels of a data set look like: how many bands of how many bits, and their statistics.

Knows the natural forms of files and what somebody wishes of them. Refuses to know masks and classes. Colour pictures
of 8 bits are normalised as the backbone's weights are used to; for all others, mean and spread are taken from the
training images.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.images import RGB, PixelForm, Pixels, decode_image

if TYPE_CHECKING:
    from segwright.data.readings import Reading

_SHOWN: Final = 3


@dataclass(frozen=True)
class FormWish:
    """What is already settled about the pixels; None leaves it to the files."""

    bands: int | None = None
    bit_depth: int | None = None
    upright: bool = False

    @classmethod
    def exactly(cls, form: PixelForm) -> Self:
        """The wish for just this form."""
        return cls(form.bands, form.bit_depth, form.upright)

    def of(self, natural: PixelForm) -> PixelForm:
        """The form that an image of some natural form is to have."""
        return PixelForm(self.bands or natural.bands, self.bit_depth or natural.bit_depth, self.upright)


AS_THEY_ARE: Final = FormWish()
"""The wish that leaves everything to the files."""


@dataclass(frozen=True, eq=False)
class BandSums:
    """Sums over the pixels of images, band by band, values scaled to 0...1."""

    pixels: int
    total: NDArray[np.float64]
    """Sum of the values, [bands]."""
    squares: NDArray[np.float64]
    """Sum of their squares, [bands]."""

    @classmethod
    def over(cls, image: Pixels) -> Self:
        """The sums of one image, [H, W, bands]."""
        bands = image.shape[2]
        largest = np.iinfo(image.dtype).max
        total, squares = np.zeros(bands), np.zeros(bands)
        for row in image:  # whole images as float64 would take eight times their memory
            values = row / largest
            total += values.sum(0)
            squares += (values * values).sum(0)
        return cls(image.shape[0] * image.shape[1], total, squares)


@dataclass(frozen=True)
class BandStatistics:
    """Mean and standard deviation of each band, of values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_form(data: bytes, name: str, natural: PixelForm, wish: FormWish) -> tuple[PixelForm, BandSums | None]:
    """The form that an image gets, and its sums where it is to be normalised by its own statistics.

    Raises DataError where the file cannot have that form.
    """
    form = wish.of(natural)
    if (form.bands, form.bit_depth) == (RGB.bands, RGB.bit_depth) == (natural.bands, natural.bit_depth):
        return form, None
    image = decode_image(data, name, form)
    return form, None if (form.bands, form.bit_depth) == (RGB.bands, RGB.bit_depth) else BandSums.over(image)


def settle_form(readings: Sequence["Reading"], channel: str) -> PixelForm:
    """The one form of all images of a channel. Raises DataError where they differ, or where some cannot have it."""
    misfits = [reading.misfit for reading in readings if reading.misfit]
    if misfits:
        more = f" And {len(misfits) - _SHOWN} more." if len(misfits) > _SHOWN else ""
        raise DataError(f"{channel}: {' '.join(misfits[:_SHOWN])}{more}")
    examples: defaultdict[PixelForm, list[str]] = defaultdict(list)
    for reading in readings:
        examples[reading.form].append(reading.pair.image.name)
    if len(examples) > 1:
        kinds = "; ".join(f"{len(names)} have {form} ({names[0]})" for form, names in examples.items())
        raise DataError(
            f"{channel}: the images are not of one kind: {kinds}. A network takes one kind: convert them, or where "
            "they differ in bands only, say how many to read with --bands."
        )
    return next(iter(examples))


def band_statistics(readings: Sequence["Reading"]) -> BandStatistics | None:
    """Mean and spread over all images, or None for colour pictures of 8 bits."""
    sums = [reading.sums for reading in readings if reading.sums is not None]
    if not sums:
        return None
    pixels = sum(one.pixels for one in sums)
    mean = np.sum([one.total for one in sums], 0) / pixels
    variance = np.sum([one.squares for one in sums], 0) / pixels - mean**2
    std = np.sqrt(np.maximum(variance, 0))
    std = np.where(std > 1e-6, std, 1.0)  # a band that never changes: any divisor will do
    return BandStatistics(tuple(mean.tolist()), tuple(std.tolist()))
