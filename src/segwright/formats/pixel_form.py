"""What the pixels of images look like: how many bands of which numbers.

Knows the types that pixels have in memory. Refuses to know files.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.wording import counted

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]

Numbers = Literal["uint", "int", "float"]
"""Unsigned whole numbers, signed whole numbers, floating-point numbers."""

_IN_WORDS: Final[dict[Numbers, str]] = {"uint": "", "int": " (signed)", "float": " (floating-point)"}


@dataclass(frozen=True)
class PixelFormat:
    """Bands, bits a band and the kind of numbers in the files, and whether EXIF orientation is applied.

    Floating-point numbers of any size count as 32 bits.
    """

    bands: int = 3
    bit_depth: int = 8
    upright: bool = False
    numbers: Numbers = "uint"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one number in memory: uint8 or uint16 for unsigned numbers of 8 or 16 bits, else float32, in
        which NaN stands for no data.
        """
        if self.numbers == "uint" and self.bit_depth in (8, 16):
            return np.dtype(np.uint8 if self.bit_depth == 8 else np.uint16)
        return np.dtype(np.float32)

    @property
    def is_plain_colour(self) -> bool:
        """Whether these are ordinary pictures, 8-bit RGB."""
        return self.bands == 3 and self.dtype == np.uint8

    @property
    def padding(self) -> float:
        """The number of pixels beside a picture: 0, or NaN for no data."""
        return math.nan if self.dtype == np.float32 else 0

    def __str__(self) -> str:
        return f"{counted(self.bands, 'band')} of {self.bit_depth} bits{_IN_WORDS[self.numbers]}"


RGB: Final = PixelFormat()
