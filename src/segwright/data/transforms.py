"""Random crops of an image and its mask, resampled once: mirror, scale, offset, padding, blur.

Only the pixels of a crop are ever resampled, and a mask is only ever picked from, so it keeps its numbers. Pixel
centres lie at half-integers: pixel x of an image scaled from W to w columns shows the source position
(x + 0.5) W / w - 0.5.

Source: GluonCV, gluoncv/data/segbase.py, `_sync_transform` and `_val_sync_transform`. Where a crop is larger than the
image, GluonCV's mask is class 0; here the caller says what it is.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.formats.pixels import Pixels
from segwright.labels import IGNORE

_SMALLEST_SCALE: Final = 0.5
_LARGEST_SCALE: Final = 2.0
_LEAST_DATA: Final = 0.01  # of a resampled pixel


@dataclass(frozen=True)
class Crop:
    """One square crop of an image that was mirrored and scaled; sizes and positions in pixels."""

    height: int
    width: int
    scaled_height: int
    scaled_width: int
    top: int  # first row of the crop in the scaled image
    left: int  # first column of the crop in the scaled and mirrored image
    size: int  # rows and columns of the crop; what lies right of or below the scaled image is padding
    mirrored: bool = False
    blur: float = 0.0  # standard deviation of the Gaussian blur; 0 for none

    @property
    def reduction(self) -> int:
        """How many times smaller, in whole numbers, the image may be decoded without showing less in the crop."""
        return max(min(self.height // self.scaled_height, self.width // self.scaled_width), 1)


def random_crop(rng: np.random.Generator, height: int, width: int, base_size: int, crop_size: int) -> Crop:
    """A random crop: mirrored with probability 0.5; the long side uniform over the whole numbers from base_size / 2 to
    2 base_size; the position uniform; with probability 0.5 a blur of standard deviation uniform over 0 to 1.
    """
    mirrored = bool(rng.random() < 0.5)
    long_side = int(rng.integers(int(_SMALLEST_SCALE * base_size), int(_LARGEST_SCALE * base_size), endpoint=True))
    scaled_height, scaled_width = _scaled(height, width, long_side)
    top = int(rng.integers(0, max(scaled_height - crop_size, 0), endpoint=True))
    left = int(rng.integers(0, max(scaled_width - crop_size, 0), endpoint=True))
    blur = float(rng.random()) if rng.random() < 0.5 else 0.0
    return Crop(height, width, scaled_height, scaled_width, top, left, crop_size, mirrored, blur)


def fixed_crop(height: int, width: int, base_size: int, crop_size: int) -> Crop:
    """The crop without chance: the long side is base_size, the position central, neither mirrored nor blurred."""
    scaled_height, scaled_width = _scaled(height, width, base_size)
    top = max(scaled_height - crop_size, 0) // 2
    left = max(scaled_width - crop_size, 0) // 2
    return Crop(height, width, scaled_height, scaled_width, top, left, crop_size)


def center_crop(height: int, width: int, crop_size: int) -> Crop:
    """The crop that GluonCV scores in validation: the short side becomes crop_size, the position is central."""
    if width > height:
        scaled_height, scaled_width = crop_size, width * crop_size // height
    else:
        scaled_height, scaled_width = height * crop_size // width, crop_size
    top, left = round((scaled_height - crop_size) / 2), round((scaled_width - crop_size) / 2)
    return Crop(height, width, scaled_height, scaled_width, top, left, crop_size)


def apply_crop(
    crop: Crop,
    image: Pixels,
    mask: NDArray[np.uint8],
    padding: int = IGNORE,
    reduction: int = 1,
    bands: int | None = None,
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Cut a crop out of an image, uint8, uint16 or float32 [H, W, bands], and its mask, uint8 [H, W].

    The image may have been decoded `reduction` times smaller, [ceil(H / reduction), ceil(W / reduction), bands], each
    of its pixels the average of a block. Where it has four bands and `bands` is 3, the last one is dropped.

    Returns the image, same type, [size, size, bands], bilinear and 0 in the padding, and the mask, uint8 [size, size],
    nearest and `padding` in the padding. In a float32 image NaN is no data: pixels are means over those that have some.
    """
    vertical = _Axis.along(crop.height, crop.scaled_height, crop.top, crop.size, reduction)
    horizontal = _Axis.along(crop.width, crop.scaled_width, crop.left, crop.size, reduction, crop.mirrored)
    bands = bands or image.shape[2]
    region = image[vertical.start : vertical.stop, horizontal.start : horizontal.stop]

    def resampled(pixels: NDArray[Any]) -> NDArray[Any]:
        warped = _warp(pixels, vertical, horizontal, bands)
        warped = _blur(warped, crop.blur) if crop.blur else warped
        return warped.reshape(vertical.length, horizontal.length, bands)

    is_float = image.dtype == np.float32
    if is_float and (gaps := np.isnan(region)).any():
        # Means over the pixels that have data; NaN where hardly any have some.
        weights = resampled((~gaps).astype(np.float32))
        sums = resampled(np.where(gaps, np.float32(0), region))
        pixels = np.where(weights > _LEAST_DATA, sums / np.maximum(weights, _LEAST_DATA), np.float32(math.nan))
    else:
        pixels = resampled(region)
    classes = _pick(mask, vertical.nearest, horizontal.nearest)
    return _pad(pixels, crop.size, math.nan if is_float else 0), _pad(classes, crop.size, padding)


def _scaled(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Height and width of an image whose long side becomes `long_side`; neither is less than one pixel."""
    if height > width:
        return long_side, max(int(width * long_side / height + 0.5), 1)
    return max(int(height * long_side / width + 0.5), 1), long_side


@dataclass(frozen=True)
class _Axis:
    """Rows or columns of a crop and where they lie in the source."""

    length: int  # pixels of the crop inside the image; the rest is padding
    start: int
    stop: int  # the pixels of the decoded image that are needed, with a margin for the interpolation
    factor: int  # how many of those are averaged into one before the interpolation, so that nothing aliases
    slope: float
    offset: float  # position in the averaged pixels from `start` on: slope * (pixel of the crop) + offset
    nearest: NDArray[np.int64]  # the source pixel nearest to each pixel of the crop

    @classmethod
    def along(cls, source: int, scaled: int, first: int, size: int, reduction: int, mirrored: bool = False) -> "_Axis":
        """The axis of an image scaled from `source` to `scaled` pixels, from pixel `first` on."""
        length = min(size, scaled - first)
        # (x + 0.5) * source / scaled, rounded down, in whole numbers
        nearest = (2 * np.arange(first, first + length, dtype=np.int64) + 1) * source // (2 * scaled)
        slope = source / scaled
        offset = (first + 0.5) * slope - 0.5
        if mirrored:
            nearest, slope, offset = source - 1 - nearest, -slope, source - 1 - offset
        slope, offset = slope / reduction, (offset + 0.5) / reduction - 0.5
        decoded = -(-source // reduction)
        factor = max(source // (scaled * reduction), 1)
        low, high = sorted((offset, offset + slope * (length - 1)))
        start = max((int(low) // factor - 1) * factor, 0)
        stop = min((int(high) // factor + 3) * factor, decoded)
        return cls(length, start, stop, factor, slope / factor, (offset - start + 0.5) / factor - 0.5, nearest)


def _warp(region: NDArray[Any], vertical: _Axis, horizontal: _Axis, bands: int) -> NDArray[Any]:
    """The pixels of a crop inside the image, [rows, columns(, bands)]: OpenCV drops a single band."""
    dtype = region.dtype
    if vertical.factor > 1 or horizontal.factor > 1:
        region = _average(region, vertical.factor, horizontal.factor)
    # OpenCV warps four bands twice as fast as three (opencv/opencv, pull request 26752).
    if region.shape[2] == 3:
        region = cv2.cvtColor(region, cv2.COLOR_RGB2RGBA)
    warped = cv2.warpAffine(
        region,
        np.array([[horizontal.slope, 0, horizontal.offset], [0, vertical.slope, vertical.offset]]),
        (horizontal.length, vertical.length),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    pixels = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB) if bands == 3 else warped
    return np.asarray(pixels, dtype=dtype)


def _blur(pixels: NDArray[Any], deviation: float) -> NDArray[Any]:
    """Gaussian blur with a kernel of 3 standard deviations to each side, of 4 for 16 bits.

    OpenCV's own `GaussianBlur` reckons 8 bits more coarsely (up to 2 grey levels off) and takes longer.
    """
    reach = 3 if pixels.dtype == np.uint8 else 4
    kernel = cv2.getGaussianKernel(round(2 * reach * deviation + 1) | 1, deviation)
    blurred = cv2.sepFilter2D(pixels, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=pixels.dtype)


def _pick(mask: NDArray[np.uint8], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint8]:
    """mask[rows][:, columns] for ascending or descending columns, but columns are picked as rows, whole ones."""
    first, last = sorted((int(columns[0]), int(columns[-1])))
    turned = cv2.transpose(mask[rows, first : last + 1])[columns - first]
    return np.asarray(cv2.transpose(turned), dtype=mask.dtype)


def _average(region: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Means over blocks of `rows` x `columns` pixels; the last block is filled up with the last pixel."""
    below, right = -region.shape[0] % rows, -region.shape[1] % columns
    if below or right:
        filled = cv2.copyMakeBorder(region, 0, below, 0, right, cv2.BORDER_REPLICATE)
        region = np.asarray(filled, dtype=region.dtype)
    size = (region.shape[1] // columns, region.shape[0] // rows)
    average = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    return np.asarray(average, dtype=region.dtype).reshape(size[1], size[0], -1)


def _pad(array: NDArray[Any], size: int, value: float) -> NDArray[Any]:
    """Fill up with `value` to the right and below, to `size` rows and columns."""
    rows, columns = array.shape[:2]
    if (rows, columns) == (size, size):
        return array
    widths = [(0, size - rows), (0, size - columns), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, widths, constant_values=value)
