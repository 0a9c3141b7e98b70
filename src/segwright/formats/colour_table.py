"""Colours that mean something: from RGB pixels to numbers.

Knows colours and their numbers. Refuses to guess: a colour that is nearly right may belong to the border between two
areas as well.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

UNKNOWN: Final = 254
"""Stands for unknown colours: never a class, never ignore."""

_ROWS_AT_ONCE: Final = 256  # a band's look-up takes 12 bytes a pixel


class ColourTable:
    """Which colour means which class, or `IGNORE`."""

    def __init__(self, classes: Mapping[Colour, int]) -> None:
        pairs = sorted((code_of(np.array(colour)).item(), index) for colour, index in classes.items())
        self._codes = np.array([code for code, _ in pairs], np.int32)
        self._classes = np.array([index for _, index in pairs], np.uint8)

    def classes(self, pixels: NDArray[np.uint8], unknown: int = UNKNOWN) -> NDArray[np.uint8]:
        """The classes of RGB pixels uint8 [H, W, 3], uint8 [H, W]; `unknown` where the table has no such colour."""
        found = np.full(pixels.shape[:2], unknown, np.uint8)
        if not len(self._codes):
            return found
        for start in range(0, len(pixels), _ROWS_AT_ONCE):
            codes = code_of(pixels[start : start + _ROWS_AT_ONCE])
            places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
            known = self._codes[places] == codes
            found[start : start + _ROWS_AT_ONCE][known] = self._classes[places[known]]
        return found

    def nearest(self, colour: Colour) -> Colour:
        """The colour of the table that differs least, by the squares of red, green and blue."""
        colours = np.stack([self._codes >> 16, self._codes >> 8 & 255, self._codes & 255], axis=1)
        red, green, blue = colours[((colours - np.array(colour)) ** 2).sum(axis=1).argmin()].tolist()
        return red, green, blue


def spelled(colour: Colour) -> str:
    """A colour as tables write it: `44 160 44 (#2ca02c)`."""
    return "{} {} {} (#{:02x}{:02x}{:02x})".format(*colour, *colour)


def code_of(pixels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Red, green and blue [..., 3] as one number [...]."""
    wide = pixels.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
