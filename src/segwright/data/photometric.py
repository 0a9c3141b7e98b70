"""Random light and colour: contrast, brightness and saturation of a crop."""

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
    """Change contrast, brightness and, of three bands, saturation of an image, [H, W, bands] of any type, at random.

    Contrast and saturation are factors, log-uniform; brightness is added, in units of the standard deviation of the
    pixels, so that bands of any depth are changed alike. Source: Howard, "Some improvements on deep convolutional
    neural network based image classification", 2013, section 2; here relative to the image's own deviation.
    """
    reach = np.array([_CONTRAST, _SATURATION]) * strength
    contrast, saturation = np.exp(rng.uniform(-1, 1, 2) * -np.log1p(-reach)).tolist()
    shift = rng.uniform(-1, 1) * _BRIGHTNESS * strength
    mean, deviation = _mean_and_deviation(pixels)
    offset = (1 - contrast) * mean + shift * deviation
    bands = pixels.shape[2]
    mixing = np.eye(bands)
    if bands == 3:
        mixing = saturation * mixing + (1 - saturation) * _LUMA
    if bands <= 4:  # as many as OpenCV mixes
        matrix = np.column_stack([contrast * mixing, np.full(bands, offset)])
        return cv2.transform(pixels, matrix).reshape(pixels.shape)
    values = pixels.astype(np.float32) * np.float32(contrast) + np.float32(offset)
    if pixels.dtype != np.float32:
        values = np.rint(values).clip(0, 255 if pixels.dtype == np.uint8 else 65535)
    return values.astype(pixels.dtype)


def _mean_and_deviation(pixels: Pixels) -> tuple[float, float]:
    """Over all pixels that have data; 0 where none has."""
    if pixels.dtype == np.float32:
        known = pixels[~np.isnan(pixels)]
        return (float(known.mean()), float(known.std())) if known.size else (0.0, 0.0)
    mean, deviation = cv2.meanStdDev(pixels.reshape(len(pixels), -1))
    return float(mean[0, 0]), float(deviation[0, 0])
