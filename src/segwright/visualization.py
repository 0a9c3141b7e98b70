"""Images of any bands as RGB for people, and masks drawn over them."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.formats.masks import IGNORE_COLOUR
from segwright.formats.pixels import Pixels
from segwright.labels import IGNORE

_PERCENTILES: Final = (2, 98)  # of a band, which become black and full brightness
_OUTLINE_OPACITY: Final = 0.9
_HATCH_PERIOD: Final = 8  # pixels from one stripe to the next, at the smallest
_HATCH_OPACITY: Final = 0.45


def displayable(image: Pixels) -> NDArray[np.uint8]:
    """An image of any bands and dtype, [H, W, bands], as RGB: uint8 [H, W, 3].

    8-bit images of 3 bands are returned as they are. Of others the first three bands are shown as red, green and blue
    (a single one as grey; of two, the second as green and blue), each stretched from its 2nd to its 98th percentile.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(image, np.uint8)
    last = image.shape[2] - 1
    shown = [_stretched(image[..., band]) for band in range(min(last, 2) + 1)]
    return np.stack([shown[min(band, last)] for band in range(3)], axis=-1)


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], palette: NDArray[np.uint8], opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Draw a mask's classes over its image; returns uint8 [H, W, 3].

    `image` is uint8 [H, W, 3], `mask` uint8 [H, W], `palette` uint8 [C, 3], `opacity` from 0 to 1 is that of
    the class colours. Borders between classes are drawn stronger. Ignored pixels are hatched.
    """
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette[:256]
    strength = np.full(256, round(255 * opacity), np.uint8)
    strength[IGNORE] = 0
    colours[IGNORE] = IGNORE_COLOUR
    alpha = cv2.LUT(mask, strength)
    thickness = max(1, round(min(mask.shape) / 400))
    alpha[_outlines(mask, thickness)] = round(255 * max(opacity, _OUTLINE_OPACITY))
    alpha[(mask == IGNORE) & _hatching(mask.shape, thickness)] = round(255 * _HATCH_OPACITY)
    weight = np.asarray(alpha, np.uint16)[..., None]
    mixed = colours[mask] * weight + image * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def _stretched(band: Pixels) -> NDArray[np.uint8]:
    """One band [H, W] as uint8, its percentiles spread over all values; a constant band and NaN are black."""
    known = band[np.isfinite(band)] if band.dtype == np.float32 else band
    if not known.size:
        return np.zeros(band.shape, np.uint8)
    low, high = (float(value) for value in np.percentile(known, _PERCENTILES))
    span = high - low if band.dtype == np.float32 and high > low else max(high - low, 1)
    scaled = np.nan_to_num((band.astype(np.float32) - low) * (255 / span))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _outlines(mask: NDArray[np.uint8], thickness: int) -> NDArray[np.bool_]:
    """Labelled pixels next to a pixel of another class, [H, W]."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thickness + 1, 2 * thickness + 1))
    return np.asarray((cv2.erode(mask, kernel) != mask) & (mask != IGNORE), np.bool_)


def _hatching(shape: tuple[int, ...], thickness: int) -> NDArray[np.bool_]:
    """Diagonal stripes, [H, W]."""
    diagonal = np.arange(shape[0], dtype=np.int32)[:, None] + np.arange(shape[1], dtype=np.int32)
    return np.asarray(diagonal % (_HATCH_PERIOD * thickness) < 2 * thickness, np.bool_)
