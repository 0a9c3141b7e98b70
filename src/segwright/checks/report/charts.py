"""Numbers as marks: bars for shares of any magnitude, strips of pictures, and what a training crop sees.

Knows lengths, colours and PNG. Refuses to know the page that shows them.
"""

import base64
import io
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.checks.findings import ChannelStatistics

TICKS: Final = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Shares, in percent, that the scale of `log_length` names."""

_SMALLEST: Final = 0.001  # percent; what is less has no length
_COLUMNS: Final = 160  # of a strip


def log_length(percent: float) -> float:
    """How long a bar is, 0 to 100, on a logarithmic scale from 0.001 to 100 percent."""
    if percent <= _SMALLEST:
        return 0.0
    return 100 * math.log10(percent / _SMALLEST) / math.log10(100 / _SMALLEST)


def share_words(percent: float) -> str:
    """A share with as many digits as say something."""
    if percent == 0:
        return "none"
    if percent < 0.001:
        return "< 0.001 %"
    return f"{percent:.3f} %" if percent < 0.1 else f"{percent:.2f} %" if percent < 10 else f"{percent:.1f} %"


def presence_strip(channel: ChannelStatistics, index: int, colour: NDArray[np.uint8]) -> str:
    """One class over all pictures from left to right, as a data URI of a PNG, one pixel high.

    A column is a picture, or a group of neighbours where there are many. It is the more opaque the larger the
    class's share of them is, and clear where the class is in none of them.
    """
    pixels = channel.by_class[:, index] / np.maximum(channel.pixels.sum(1), 1)
    groups = np.array_split(pixels, min(_COLUMNS, len(pixels)))
    shares = np.array([group.mean() for group in groups])
    opacity = np.where(shares > 0, 0.3 + 0.7 * np.sqrt(shares / max(float(shares.max(initial=0)), 1e-12)), 0)
    strip = np.empty((1, len(shares), 4), np.uint8)
    strip[..., :3] = colour
    strip[..., 3] = np.rint(255 * opacity)
    stream = io.BytesIO()
    Image.fromarray(strip).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


@dataclass(frozen=True)
class Sketch:
    """A picture at one scale of the training and a crop of it, to one measure with its neighbours."""

    scale: str
    width: int
    """Of the scaled picture, in pixels, as are `height` and `crop`."""
    height: int
    crop: int


def crop_sketches(height: int, width: int, base_size: int, crop_size: int) -> list[Sketch]:
    """What a crop sees of a picture of `height` x `width` pixels at the smallest, the middle and the largest scale."""
    sketches = []
    for scale, words in ((0.5, "smallest"), (1.0, "middle"), (2.0, "largest")):
        factor = scale * base_size / max(height, width)
        scaled = max(round(width * factor), 1), max(round(height * factor), 1)
        sketches.append(Sketch(words, *scaled, crop_size))
    return sketches
