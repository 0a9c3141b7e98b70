"""Random light and colour: contrast, brightness and saturation of a crop."""

import warnings
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.formats.pixels import Pixels

_CONTRAST: Final = 0.4  # at strength 1, the factor is from 1 - 0.4 to 1 / (1 - 0.4)
_BRIGHTNESS: Final = 0.5  # of the standard deviation of the crop's pixels
_SATURATION: Final = 0.5
_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def jitter_light(rng: np.random.Generator, pixels: Pixels, strength: float) -> NDArray[Any]:
    """Change contrast, brightness and, of colour, saturation of an image, [H, W, bands] of any type, at random.

    Contrast and saturation are factors, log-uniform; brightness is added, in units of the standard deviation of the
    pixels: those of each band where they are not 8-bit colour, since bands may measure different things. Source:
    Howard, "Some improvements on deep convolutional neural network based image classification", 2013, section 2; here
    relative to the image's own deviation.
    """
    reach = np.array([_CONTRAST, _SATURATION]) * strength
    contrast, saturation = np.exp(rng.uniform(-1, 1, 2) * -np.log1p(-reach)).tolist()
    shift = rng.uniform(-1, 1) * _BRIGHTNESS * strength
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(pixels.reshape(len(pixels), -1)))
        mixing = contrast * (saturation * np.eye(3) + (1 - saturation) * _LUMA)
        offset = (1 - contrast) * mean + shift * deviation
        return cv2.transform(pixels, np.column_stack([mixing, np.full(3, offset)]))
    values = pixels.astype(np.float32)
    with warnings.catch_warnings(action="ignore"):  # of a band without any data
        means, deviations = np.nanmean(values, (0, 1)), np.nanstd(values, (0, 1))
    values = means + np.float32(contrast) * (values - means) + np.float32(shift) * deviations
    if pixels.dtype != np.float32:
        values = np.rint(values).clip(0, 255 if pixels.dtype == np.uint8 else 65535)
    return np.asarray(values, pixels.dtype)
