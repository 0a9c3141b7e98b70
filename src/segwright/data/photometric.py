"""Random light and colour: contrast, brightness and saturation of a crop."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.formats.pixels import Pixels

_CONTRAST: Final = 0.4  # at strength 1, the factor is from 1 - 0.4 to 1 / (1 - 0.4)
_BRIGHTNESS: Final = 0.5  # of the standard deviation of the crop's pixels
_SATURATION: Final = 0.5
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def jitter_light(rng: np.random.Generator, pixels: Pixels, strength: float) -> Pixels:
    """Change contrast, brightness and, of three bands, saturation of an image, [H, W, bands] of any type, at random.

    Contrast and saturation are factors, log-uniform; brightness is added, in units of the standard deviation of the
    pixels, so that bands of any depth are changed alike. Source: Howard, "Some improvements on deep convolutional
    neural network based image classification", 2013, section 2; here relative to the image's own deviation.
    """
    reach = np.array([_CONTRAST, _SATURATION]) * strength
    contrast, saturation = np.exp(rng.uniform(-1, 1, 2) * -np.log1p(-reach)).tolist()
    shift = rng.uniform(-1, 1) * _BRIGHTNESS * strength
    values = pixels.astype(np.float32)
    if pixels.shape[2] == 3:
        grey = (values @ _LUMA)[..., None]
        values = grey + saturation * (values - grey)
    mean, deviation = _mean_and_deviation(values)
    values = mean + contrast * (values - mean) + shift * deviation
    if pixels.dtype == np.uint8:
        return np.asarray(np.rint(values).clip(0, 255), np.uint8)
    if pixels.dtype == np.uint16:
        return np.asarray(np.rint(values).clip(0, 65535), np.uint16)
    return np.asarray(values, np.float32)


def _mean_and_deviation(values: NDArray[np.float32]) -> tuple[float, float]:
    """Over all pixels that have data; 0 where none has."""
    known = values[~np.isnan(values)]
    return (float(known.mean()), float(known.std())) if known.size else (0.0, 0.0)
