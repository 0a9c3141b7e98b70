"""What the pixels of images are read as, and the statistics of their bands.

Colour images of 8 bits are normalised as the backbone's weights expect, all others by the mean and spread of the
training images.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from segwright.formats.images import EncodedImage
from segwright.formats.pixels import Numbers, PixelFormat, Pixels

_NUMBERS_AT_ONCE: Final = 1 << 18


@dataclass(frozen=True)
class RequestedFormat:
    """The format that images are to be read in; None leaves it to the files."""

    bands: int | None = None
    bit_depth: int | None = None
    upright: bool = False
    numbers: Numbers | None = None

    @classmethod
    def exactly(cls, pixel_format: PixelFormat) -> Self:
        """The request for this very format."""
        return cls(pixel_format.bands, pixel_format.bit_depth, pixel_format.exif_transposed, pixel_format.numbers)

    def of(self, natural: PixelFormat) -> PixelFormat:
        """The format for an image whose natural format is given."""
        return PixelFormat(
            self.bands or natural.bands,
            self.bit_depth or natural.bit_depth,
            self.upright,
            self.numbers or natural.numbers,
        )


AS_STORED: Final = RequestedFormat()


@dataclass(frozen=True, eq=False)
class BandSums:
    """Sums over the pixels that have data, by band; unsigned numbers of 8 and 16 bits are scaled to 0...1."""

    pixels: NDArray[np.int64]  # how many pixels have data, [bands]
    mean: NDArray[np.float64]  # their mean, [bands]
    squares: NDArray[np.float64]  # sum of the squares of their distances from the mean, [bands]

    @classmethod
    def over(cls, image: Pixels, no_data: float | None = None) -> Self:
        """Those of one image, [H, W, bands], in which NaN and `no_data` are no data."""
        bands = image.shape[2]
        total = cls(np.zeros(bands, np.int64), np.zeros(bands), np.zeros(bands))
        largest = {"uint8": 255, "uint16": 65535}.get(image.dtype.name, 1)
        rows = max(_NUMBERS_AT_ONCE // image[0].size, 1)
        for start in range(0, len(image), rows):  # a whole image as float64 would take eight times its memory
            pixels = image[start : start + rows].reshape(-1, image.shape[2])
            known = ~np.isnan(pixels) & (no_data is None or pixels != no_data)
            values = np.where(known, pixels, 0) / np.float64(largest)
            mean = values.sum(0) / np.maximum(known.sum(0), 1)
            distances = np.where(known, values - mean, 0)
            total = total.joined(cls(known.sum(0), mean, (distances * distances).sum(0)))
        return total

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
    """Mean and standard deviation of each band, in the units of `BandSums`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, sums: Sequence[BandSums], dtype: np.dtype[Any]) -> Self:
        """Those of images of a type, at least one."""
        total = functools.reduce(BandSums.joined, sums)
        std = np.sqrt(total.squares / np.maximum(total.pixels, 1))
        least = 1e-7 * np.abs(total.mean) if dtype == np.float32 else 1e-6
        std = np.where(std > least, std, 1.0)  # a band that never changes: any divisor will do
        return cls(tuple(total.mean.tolist()), tuple(std.tolist()))


def read_form(image: EncodedImage, requested: RequestedFormat) -> tuple[PixelFormat, BandSums | None]:
    """The format of an image, and its sums where it is normalised by its own statistics. Raises DataError where the
    file cannot be read in that format.
    """
    pixel_format = requested.of(image.pixel_format)
    if pixel_format.is_plain_colour and image.pixel_format.is_plain_colour:
        return pixel_format, None
    pixels = image.decode(pixel_format)
    return pixel_format, None if pixel_format.is_plain_colour else BandSums.over(pixels, image.no_data)
