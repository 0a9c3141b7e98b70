"""Pixels in memory: how many bands of which numbers, and what was dropped or assumed when they were decoded."""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.wording import counted

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]

Numbers = Literal["uint", "int", "float"]  # unsigned whole numbers, signed whole numbers, floating-point numbers

_OPACITY_LEVELS: Final = 16
_LOOKED_AT: Final = 1 << 16  # pixels, about
_IN_WORDS: Final[dict[Numbers, str]] = {"uint": "", "int": " (signed)", "float": " (floating-point)"}


@dataclass(frozen=True)
class PixelFormat:
    """Bands, bits a band and the kind of numbers in the files (floating-point ones of any size count as 32 bits), and
    whether EXIF orientation is applied.
    """

    bands: int = 3
    bit_depth: int = 8
    exif_transposed: bool = False
    numbers: Numbers = "uint"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one number in memory: uint8, uint16, or for all else float32, where NaN stands for no data."""
        if self.numbers == "uint" and self.bit_depth in (8, 16):
            return np.dtype(np.uint8 if self.bit_depth == 8 else np.uint16)
        return np.dtype(np.float32)

    @property
    def is_plain_colour(self) -> bool:
        """Whether these are ordinary images, 8-bit RGB."""
        return self.bands == 3 and self.dtype == np.uint8

    @property
    def padding(self) -> float:
        """The number of pixels beside an image: 0, or NaN for no data."""
        return math.nan if self.dtype == np.float32 else 0

    def __str__(self) -> str:
        return f"{counted(self.bands, 'band')} of {self.bit_depth} bits{_IN_WORDS[self.numbers]}"


RGB: Final = PixelFormat()

NoteKind = Literal["pages", "band", "no-data", "zero", "rounded"]


@dataclass(frozen=True)
class Note:
    """What was dropped from one file or assumed of it. `count` and `detail` depend on `kind`:

    - `pages`: of `count` pages, slices or frames only the first is read.
    - `band`: the last band, number `count`, is dropped as opacity but has the values of an image; with `detail` bands
      it would be kept.
    - `no-data`: `count` pixels have no data: `detail` names their numbers.
    - `zero`: the file calls 0 its no-data value, but 0 is kept as a class; `count` pixels have it.
    - `rounded`: whole numbers above 2^24 are rounded to float32; `detail` is the largest.
    """

    kind: NoteKind
    count: int = 0
    detail: str = ""


def looks_like_a_band(opacity: NDArray[Any]) -> bool:
    """Whether a channel that is called opacity, [H, W], shows an image: many values between nothing and full."""
    step = max(math.isqrt(opacity.size // _LOOKED_AT), 1)
    opacity = opacity[::step, ::step]
    full = np.iinfo(opacity.dtype).max if opacity.dtype.kind in "iu" else 1
    between = opacity[(opacity != 0) & (opacity != full)]
    return 2 * between.size > opacity.size and len(np.unique(between)) >= _OPACITY_LEVELS
