"""Pixels without data: GDAL's tag, and the numbers that tools write for it without a tag.

Source: GDAL, GeoTIFF driver, tag 42113 (GDAL_NODATA), a number as text.
"""

import math
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NO_DATA_TAG: Final = 42113

_IN_MASKS: Final = (-1, -99, -999, -9999, -99999, -32767)
_IN_IMAGES: Final = (-9999, -32768)
_BEYOND_MEASURE: Final = 1e20
"""No instrument delivers more: -3.4e38 (GDAL, ESRI), 9.97e36 (netCDF) and 1e20 (CMIP) stand for nothing."""


def parse_no_data(text: object) -> float | None:
    """The number of a tag, NaN included, or None for what is none. Whole numbers are int, exact at any size."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    if not isinstance(text, str):
        return None
    text = text.strip("\0 \t\r\n")
    try:
        return int(text) if re.fullmatch(r"[+-]?\d{1,24}", text) else float(text)
    except ValueError:
        return None


def no_data_in_mask(stored: NDArray[Any], tag: float | None) -> NDArray[np.bool_] | None:
    """Where a mask has no class, [H, W], or None for nowhere: NaN, what is beyond measure, the number of the tag, but
    for 0 and 255, which mean something by themselves; of signed numbers -1, -9999 and others that tools write for it,
    and the lowest number of the type.
    """
    usual: tuple[float, ...] = () if tag is None or tag in (0, 255) else (tag,)
    if stored.dtype.kind == "i":
        usual += (*_IN_MASKS, int(np.iinfo(stored.dtype).min))
    elif stored.dtype.kind == "f":
        usual += (*_IN_MASKS, -32768, -2147483648)
    return _matching(stored, usual)


def no_data_in_image(stored: NDArray[Any], tag: float | None) -> NDArray[np.bool_] | None:
    """Where an image has no data, shaped as `stored`, or None for nowhere: NaN and what is beyond measure; the number
    of the tag; of signed numbers -9999 and -32768.
    """
    usual: tuple[float, ...] = () if tag is None else (tag,)
    return _matching(stored, usual if stored.dtype.kind == "u" else (*usual, *_IN_IMAGES))


def list_numbers(stored: NDArray[Any], where: NDArray[np.bool_]) -> str:
    """The different numbers at some pixels, in words: `-9999, NaN`."""
    found = stored[where]
    shown = ["NaN"] if found.dtype.kind == "f" and np.isnan(found).any() else []
    numbers = np.unique(found[~np.isnan(found)] if shown else found)
    return ", ".join([*(f"{number:g}" if number.dtype.kind == "f" else str(number) for number in numbers[:3]), *shown])


def _matching(stored: NDArray[Any], numbers: tuple[float, ...]) -> NDArray[np.bool_] | None:
    """Where an array has one of some numbers, or none that measures anything; None for nowhere."""
    if stored.dtype.kind == "f":
        found = ~(np.abs(stored) < min(_BEYOND_MEASURE, float(np.finfo(stored.dtype).max)))
    else:
        found = np.zeros(stored.shape, np.bool_)
    for number in {same for one in numbers if (same := _as_stored(one, stored.dtype)) is not None}:
        found |= stored == number
    return found if found.any() else None


def _as_stored(number: float, dtype: np.dtype[Any]) -> Any:
    """A number as an array of some type would hold it, or None where it cannot."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return None if math.isnan(number) else dtype.type(number)
    limits = np.iinfo(dtype)
    fits = math.isfinite(number) and number == int(number) and limits.min <= number <= limits.max
    return dtype.type(int(number)) if fits else None
