"""Cuts crops out of an image and its mask, resampled once: mirror, scale, offset, rotation, padding, blur.

Only the pixels of a crop are ever resampled, and a mask is only ever picked from, so it keeps its numbers. Pixel
centres lie at half-integers: pixel x of an image scaled from W to w columns shows the source position
(x + 0.5) W / w - 0.5.

Source: GluonCV, gluoncv/data/segbase.py, `_sync_transform` and `_val_sync_transform`. Where a crop is larger than the
image, GluonCV's mask is class 0; here the caller says what it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.crops import Crop
from segwright.formats.pixels import Pixels
from segwright.labels import IGNORE

_LEAST_DATA: Final = 0.01  # of a resampled pixel


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
    bands = bands or image.shape[2]
    warp = _rotated if crop.angle else _upright
    source, resample, classes = warp(crop, image, mask, padding, reduction, bands)

    def resampled(pixels: NDArray[Any]) -> NDArray[Any]:
        warped = resample(pixels)
        warped = _blur(warped, crop.blur) if crop.blur else warped
        return warped.reshape(*warped.shape[:2], bands)

    is_float = image.dtype == np.float32
    if is_float and (gaps := np.isnan(source)).any():
        # Means over the pixels that have data; NaN where hardly any have some.
        weights = resampled((~gaps).astype(np.float32))
        sums = resampled(np.where(gaps, np.float32(0), source))
        pixels = np.where(weights > _LEAST_DATA, sums / np.maximum(weights, _LEAST_DATA), np.float32(math.nan))
    else:
        pixels = resampled(source)
    pixels, classes = _pad(pixels, crop.size, math.nan if is_float else 0), _pad(classes, crop.size, padding)
    if crop.upside_down:
        return np.ascontiguousarray(pixels[::-1]), np.ascontiguousarray(classes[::-1])
    return pixels, classes


_Resample = Callable[[NDArray[Any]], NDArray[Any]]


def _upright(
    crop: Crop, image: Pixels, mask: NDArray[np.uint8], _padding: int, reduction: int, bands: int
) -> tuple[Pixels, _Resample, NDArray[np.uint8]]:
    """The part of the image that a crop without rotation needs, how it is resampled, and the mask, without padding."""
    vertical = _Axis.along(crop.height, crop.scaled_height, crop.top, crop.size, reduction)
    horizontal = _Axis.along(crop.width, crop.scaled_width, crop.left, crop.size, reduction, crop.mirrored)
    source = image[vertical.start : vertical.stop, horizontal.start : horizontal.stop]
    matrix = np.array([[horizontal.slope, 0, horizontal.offset], [0, vertical.slope, vertical.offset]])

    def resample(pixels: NDArray[Any]) -> NDArray[Any]:
        averaged = _average(pixels, vertical.factor, horizontal.factor)
        return _warp(averaged, matrix, (horizontal.length, vertical.length), bands, cv2.BORDER_REPLICATE)

    return source, resample, _pick(mask, vertical.nearest, horizontal.nearest)


def _rotated(
    crop: Crop, image: Pixels, mask: NDArray[np.uint8], padding: int, reduction: int, bands: int
) -> tuple[Pixels, _Resample, NDArray[np.uint8]]:
    """As `_upright`, for a crop rotated about the middle of what it shows. Beside the image pixels are its reflection,
    since a black corner would be an edge that no image has, and the mask is `padding`.
    """
    matrix = _source_of_rotated(crop)
    classes = cv2.warpAffine(
        mask,
        matrix,
        (crop.size, crop.size),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=padding,
    )
    factors = [
        max(source // (scaled * reduction), 1)
        for source, scaled in ((crop.width, crop.scaled_width), (crop.height, crop.scaled_height))
    ]
    corners = matrix @ np.array([[0, crop.size, 0, crop.size], [0, 0, crop.size, crop.size], [1, 1, 1, 1]])
    starts, stops = [], []
    for low, high, factor, length in zip(
        corners.min(1), corners.max(1), factors, (image.shape[1], image.shape[0]), strict=True
    ):
        starts.append(max((int(low / reduction) // factor - 2) * factor, 0))
        stops.append(min((int(high / reduction) // factor + 3) * factor, length))
    inner = matrix.copy()
    inner[:, 2] += 0.5
    for axis in (0, 1):
        inner[axis] /= reduction * factors[axis]
        inner[axis, 2] -= starts[axis] / factors[axis] + 0.5

    def resample(pixels: NDArray[Any]) -> NDArray[Any]:
        averaged = _average(pixels, factors[1], factors[0])
        return _warp(averaged, inner, (crop.size, crop.size), bands, cv2.BORDER_REFLECT)

    return image[starts[1] : stops[1], starts[0] : stops[0]], resample, np.asarray(classes, np.uint8)


def _source_of_rotated(crop: Crop) -> NDArray[np.float64]:
    """The matrix [2, 3] from pixel (x, y) of a rotated crop to its position in the source, (column, row)."""
    cosine, sine = math.cos(math.radians(crop.angle)), math.sin(math.radians(crop.angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    scaled = np.array([crop.scaled_width, crop.scaled_height])
    middle = np.array([crop.left, crop.top]) + np.minimum(crop.size, scaled) / 2
    slopes = np.array([crop.width, crop.height]) / scaled
    matrix = np.empty((2, 3))
    matrix[:, :2] = turn * slopes[:, None]
    matrix[:, 2] = (middle + turn @ np.full(2, 0.5 - crop.size / 2)) * slopes - 0.5
    if crop.mirrored:
        matrix[0] *= -1
        matrix[0, 2] += crop.width - 1
    return matrix


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


def _warp(
    region: NDArray[Any], matrix: NDArray[np.float64], size: tuple[int, int], bands: int, border: int
) -> NDArray[Any]:
    """Bilinear pixels of `size`, (columns, rows), at the positions that `matrix` gives: [rows, columns(, bands)], since
    OpenCV drops a single band.
    """
    dtype = region.dtype
    # OpenCV warps four bands twice as fast as three (opencv/opencv, pull request 26752).
    if region.shape[2] == 3:
        region = cv2.cvtColor(region, cv2.COLOR_RGB2RGBA)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(region, matrix, size, flags=flags, borderMode=border)
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
    if rows == columns == 1:
        return region
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
