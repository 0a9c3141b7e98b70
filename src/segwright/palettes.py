"""Default colours of classes."""

import colorsys
from typing import Final

import numpy as np
from numpy.typing import NDArray

_COLOURS: Final = (
    (84, 98, 124), (226, 82, 65), (66, 150, 222), (84, 174, 76), (246, 190, 54),
    (148, 88, 204), (247, 128, 44), (40, 190, 180), (238, 112, 178), (150, 104, 68),
    (188, 220, 70), (46, 76, 186), (176, 36, 84), (126, 208, 152), (250, 218, 156),
    (112, 112, 24), (196, 166, 236), (22, 112, 92), (124, 28, 136), (250, 164, 148),
)  # fmt: skip


def default_palette(count: int) -> NDArray[np.uint8]:
    """Colours for `count` classes, uint8 [count, 3] RGB: twenty chosen ones, then golden steps of hue.

    All are distinct, saturated enough for an overlay, and the same whatever the count. Class 0, often the
    background, is a quiet slate.
    """
    generated = (_generated_colour(step) for step in range(count - len(_COLOURS)))
    return np.array([*_COLOURS[:count], *generated], np.uint8).reshape(count, 3)


def _generated_colour(step: int) -> tuple[int, ...]:
    hue = (0.03 + step * 0.618034) % 1.0  # the golden ratio spreads any number of hues evenly
    saturation, value = ((0.85, 0.9), (0.45, 0.97), (0.75, 0.55))[step % 3]
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
