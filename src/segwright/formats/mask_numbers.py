"""Masks as arrays: from stored numbers of any type to class numbers, with -1 for no data."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError, FractionError
from segwright.formats.no_data import list_numbers, no_data_in_mask
from segwright.formats.pixels import Note
from segwright.labels import HIGHEST_PIXEL, IGNORE, NO_DATA

MaskArray = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32]

CURE: Final = "Save it as a single-channel 8-bit PNG (palette or grey) whose values are class numbers"

_IMSAVE_COLOURS: Final = ("68, 1, 84", "253, 231, 36", "253, 231, 37")
"""The first and the last colour of matplotlib's viridis, which plt.imsave uses by default."""


def equal_channels(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    """One channel, [H, W], of [H, W, channels] when all agree; DataError otherwise."""
    differs = pixels != pixels[..., :1]
    if pixels.dtype.kind == "f":  # NaN differs from itself
        differs &= ~(np.isnan(pixels) & np.isnan(pixels[..., :1]))
    differs = differs.any(axis=-1)
    if differs.any():
        row, column = np.unravel_index(int(differs.argmax()), differs.shape)
        values = ", ".join(str(value) for value in pixels[row, column][:4])
        what = "red, green, blue" if pixels.shape[2] == 3 else f"its {pixels.shape[2]} bands"
        shown = " (the colours of plt.imsave, which stretches each mask by itself)" if values in _IMSAVE_COLOURS else ""
        raise DataError(
            f"{name} is a colour image or one of several bands ({what} = {values} at row {row}, column {column})"
            f"{shown}, not one number a pixel. {CURE}."
        )
    return np.ascontiguousarray(pixels[..., 0])


def class_numbers(stored: NDArray[Any], tag: float | None, name: str) -> tuple[MaskArray, tuple[Note, ...]]:
    """Numbers of any type, [H, W], as those of a mask, with what is assumed of them; `tag` is the number that the file
    calls its no-data value.

    0 stays the class 0 whatever the tag says, for GDAL and QGIS write it into masks whose background is 0. Raises
    DataError, with the pixel, for a number that is not from 0 to 65535, FractionError for one that is not whole.
    """
    zeros = np.count_nonzero(stored == 0) if tag == 0 else 0
    notes = [Note("zero", int(zeros))] if zeros else []
    if stored.dtype == np.uint8 and tag in (None, 0, IGNORE):
        return np.asarray(stored, np.uint8), tuple(notes)
    gaps = no_data_in_mask(stored, tag)
    known = stored if gaps is None else np.where(gaps, 0, stored)
    known = known.astype(np.float32) if known.dtype == np.float16 else known  # which ends at 65504
    _check_numbers(known, name)
    if gaps is None:
        fitting: MaskArray = known.astype(np.uint16, copy=False)
        return known.astype(np.uint8) if stored.dtype.itemsize == 1 else fitting, tuple(notes)
    notes.append(Note("no-data", int(np.count_nonzero(gaps)), list_numbers(stored, gaps)))
    numbers = known.astype(np.int32)
    numbers[gaps] = NO_DATA
    return numbers, tuple(notes)


def _check_numbers(known: NDArray[Any], name: str) -> None:
    """Raise DataError for a number that is no class number."""
    wrong = (known < 0) | (known > HIGHEST_PIXEL)
    if known.dtype.kind == "f":
        wrong |= known != np.floor(known)
    if not wrong.any():
        return
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    number = known[row, column]
    what = (
        f"{name} holds the number {number} of type {known.dtype.name} at row {row}, column {column}; masks hold whole "
        f"numbers from 0 to {HIGHEST_PIXEL}, and 255 for what is to be ignored."
    )
    if number != np.floor(number):
        raise FractionError(
            f"{what} What lies between two numbers is no class: if the masks were resampled, do that with the nearest "
            "neighbour (gdalwarp -r near); if they were divided, as by 255 or by the highest number of each, export "
            "them anew as class numbers."
        )
    raise DataError(
        f"{what} If it stands for no data, say so in the file: gdal_edit.py -a_nodata {number} {name}. Else give each "
        "class a number in that range."
    )
