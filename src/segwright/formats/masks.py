"""Masks: bytes to one number a pixel and back.

Knows that in a mask the stored number counts and never the colour: palette files give their indices, and the
scaling that decoders apply to grey values of few bits is undone. Numbers may have any type as long as they are whole;
what stands for no data (`no_data`) becomes -1, which is ignored. Refuses to know classes; label maps turn numbers into
those.
"""

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from segwright.errors import DataError, FractionError
from segwright.formats.file_types import sniff
from segwright.formats.gif import is_gif, read_gif
from segwright.formats.no_data import listed_numbers, no_data_in_mask
from segwright.formats.notes import Note
from segwright.formats.pillow import load_picture, open_picture, stored_bits
from segwright.formats.png import decode_plain_png
from segwright.formats.stored_palette import stored_palette
from segwright.formats.tiff import LOSSY, PALETTE, WHITE_IS_ZERO, Tiff
from segwright.labels import HIGHEST_PIXEL, IGNORE, NO_DATA

MASK_SUFFIXES: Final = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Endings, in lower case, of the files that are looked for as masks."""

IGNORE_COLOUR: Final = (224, 224, 192)
"""Colour of pixels that belong to no class (255) in the palette PNGs that are written: the cream of Pascal
VOC.
"""

_PHOTOMETRIC: Final = 262  # a TIFF tag

MaskArray = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32]

_IMSAVE_COLOURS: Final = ("68, 1, 84", "253, 231, 36", "253, 231, 37")
"""The first and the last colour of matplotlib's viridis, which plt.imsave uses where it is told nothing else."""

_CURE: Final = "Save it as a single-channel 8-bit PNG (palette or grey) whose values are class numbers"


def decode_mask(data: bytes, name: str) -> MaskArray:
    """The numbers stored in one mask: uint8 or uint16 [H, W], or int32 where some pixels are `NO_DATA`.

    Palette files give indices, 1-bit files 0 and 1, grey of 2 or 4 bits the stored number (decoders spread it
    over 0 to 255), all others their numbers, whatever their type, as long as they are whole and from 0 to 65535; a GIF
    gives its greys where all its colours are grey. Colour files are read where all their channels agree; transparency
    is dropped. `name` is for messages only. Raises DataError for other colour files, other numbers, lossy compressions
    and damaged bytes.
    """
    return decode_noted_mask(data, name)[0]


def decode_noted_mask(data: bytes, name: str) -> tuple[MaskArray, tuple[Note, ...]]:
    """As `decode_mask`, with what is dropped or assumed."""
    container = sniff(data)
    if container in ("JPEG", "WebP"):
        raise DataError(f"{name} is a {container} file, whose compression changes class numbers. {_CURE}.")
    if container == "PNG" and (plain := decode_plain_png(data)) is not None:
        return plain, ()
    if is_gif(data):
        return np.array(read_gif(data, name), np.uint8), ()
    tiff = _opened_tiff(data, name) if container == "TIFF" else None
    stored = _by_pillow(data, name) if tiff is None or _is_for_pillow(tiff) else _one_channel(tiff)
    if tiff is None:
        return class_numbers(stored, None, name)
    numbers, notes = class_numbers(stored, tiff.no_data, name)
    pages = _check_unlike_pages(tiff)
    return numbers, (Note("pages", pages), *notes) if pages > 1 else notes


def is_colour_picture(data: bytes, name: str) -> bool:
    """Whether a file holds colours of 8 bits rather than one number a pixel. DataError for what is no picture."""
    if sniff(data) == "TIFF" and not _is_for_pillow(_opened_tiff(data, name)):
        return False
    picture = open_picture(data, name)
    return len(picture.getbands()) > 2 and stored_bits(picture, data) <= 8


def _by_pillow(data: bytes, name: str) -> NDArray[Any]:
    """The stored numbers, [H, W], of a file that Pillow reads."""
    picture = open_picture(data, name)
    bits = stored_bits(picture, data)
    if bits > 8 and len(picture.getbands()) > 1:
        raise DataError(f"{name} has several channels of {bits} bits. {_CURE}.")
    load_picture(picture, name)
    numbers = _numbers(picture, bits, name)
    return _highest(bits) - numbers if _is_inverted(picture) else numbers


def mask_palette(data: bytes) -> NDArray[np.uint8] | None:
    """The colours of a palette file, uint8 [256, 3] with black beyond its end, or None for a file without
    palette.
    """
    stored = stored_palette(data, "mask")
    if stored is None:
        return None
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(stored)] = stored[:256]
    return palette


def encode_mask(mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A palette PNG of uint8 [H, W] class numbers; `palette` is uint8 [C, 3], ignore has IGNORE_COLOUR."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette[:256]
    colours[IGNORE] = IGNORE_COLOUR
    picture = Image.fromarray(np.ascontiguousarray(mask))
    picture.putpalette(colours.tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _is_inverted(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow gives the complements of the stored numbers: in a TIFF in which 0 means white, up to 8 bits."""
    return (
        isinstance(picture, TiffImagePlugin.TiffImageFile)
        and picture.mode in ("1", "L")
        and picture.tag_v2.get(_PHOTOMETRIC) == WHITE_IS_ZERO
    )


def _highest(bits: int) -> np.uint8:
    return np.uint8(2**bits - 1)


def _numbers(picture: ImageFile.ImageFile, bits: int, name: str) -> NDArray[Any]:
    """The stored numbers of a decoded picture."""
    match picture.mode:
        case "L" if bits in (2, 4):
            return np.asarray(picture) // np.uint8(255 // (2**bits - 1))
        case "1" | "L" | "P":
            return np.array(picture, dtype=np.uint8)
        case "LA" | "PA" | "La":
            return np.array(picture.getchannel(0))
        case "RGB" | "RGBA" | "RGBX":
            return _equal_channels(np.asarray(picture)[..., :3], name)
        case "I" | "I;16" | "I;16B" | "I;16L":
            return np.asarray(picture)
    raise DataError(f"{name} has an unusual pixel format for a mask (Pillow's mode {picture.mode}). {_CURE}.")


def _equal_channels(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    """One channel of [H, W, channels] when all agree; DataError otherwise."""
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
            f"{name} is a colour picture or one of several bands ({what} = {values} at row {row}, column {column})"
            f"{shown}, "
            f"not one number a pixel. {_CURE}."
        )
    return np.ascontiguousarray(pixels[..., 0])


def _opened_tiff(data: bytes, name: str) -> Tiff:
    """Open a TIFF; DataError where its compression may have changed numbers."""
    tiff = Tiff.parse(data, name)
    if kind := LOSSY.get(tiff.layout.compression):
        raise DataError(
            f"{name} is compressed with {kind}, which {'changes' if kind in ('JPEG', 'WebP') else 'may change'} class "
            "numbers. Write it anew from its source without loss, as by gdal_translate -co COMPRESS=DEFLATE."
        )
    return tiff


def _is_for_pillow(tiff: Tiff) -> bool:
    """Whether Pillow gives all numbers of a TIFF as they are: up to 8 bits, and where tifffile lacks a decoder, such as
    LZW, one channel of 16 or of 32 with a sign, which it reads wrong where the high byte comes first.
    """
    layout = tiff.layout
    if tiff.is_ordinary or tiff.decodes:
        return tiff.is_ordinary
    kinds = (("uint", 16), ("int", 32)) if tiff.file.byteorder == "<" else (("uint", 16),)
    return tiff.samples == 1 and layout.photometric != PALETTE and (layout.numbers, *layout.bits) in kinds


def _one_channel(tiff: Tiff) -> NDArray[Any]:
    """The numbers [H, W] of a TIFF, without opacity."""
    tiff.check_numbers("Masks", _CURE[0].lower() + _CURE[1:])
    return _equal_channels(tiff.read()[..., : tiff.samples - tiff.has_opacity], tiff.name)


def _check_unlike_pages(tiff: Tiff) -> int:
    """How many pages a mask has, of which the first counts; DataError where one shows anything else."""
    pages = tiff.count_pages()
    if pages > 1 and tiff.decodes:
        first = tiff.decode(tiff.file.pages.first)
        for number, page in enumerate(tiff.further_pages(), 2):
            if not np.array_equal(tiff.decode(page), first, equal_nan=first.dtype.kind == "f"):
                raise DataError(
                    f"{tiff.name} has {pages} pages, of which page {number} differs from the first: a mask is one "
                    "page. Save the right one, or each as a file of its own."
                )
    return pages


def class_numbers(stored: NDArray[Any], tag: float | None, name: str) -> tuple[MaskArray, tuple[Note, ...]]:
    """Numbers of any type, [H, W], as those of a mask, with what is assumed of them; `tag` is the number that the file
    calls its no-data value.

    0 stays the class 0 whatever the tag says, for GDAL and QGIS write it into masks whose background is 0.

    Raises DataError, with the place, for a number that is not from 0 to 65535, FractionError for one that is not whole.
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
    notes.append(Note("no-data", int(np.count_nonzero(gaps)), listed_numbers(stored, gaps)))
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
