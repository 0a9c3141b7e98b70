"""Masks: bytes to one number a pixel and back.

The stored number counts, not its colour, unless a labelling tool states the colours of its classes (SageMaker's
contract, section 2.3: labelling jobs of 2020 permuted their indices).
"""

import functools
from collections import Counter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, TiffImagePlugin

from segwright.errors import DataError, FractionError
from segwright.formats.file_types import is_gif, sniff
from segwright.formats.no_data import list_numbers, no_data_in_mask
from segwright.formats.palettes import Colour, ColourTable, mask_palette
from segwright.formats.pillow import PillowImage, load_pixels, open_image, read_gif, stored_bits
from segwright.formats.pixels import Note
from segwright.formats.png import decode_plain_png, encode_plain_png
from segwright.formats.tiff import LOSSY, PALETTE, WHITE_IS_ZERO, Tiff
from segwright.labels import HIGHEST_PIXEL, IGNORE, NO_DATA

MASK_SUFFIXES: Final = (".png", ".tif", ".tiff", ".bmp", ".gif")  # in lower case, of files looked for as masks
IGNORE_COLOUR: Final = (224, 224, 192)  # of 255 in the palette PNGs that are written: the cream of Pascal VOC

MaskArray = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32]
PaletteClasses = tuple[tuple[int, Colour], ...]  # pairs of a class index and its colour, RGB

_CURE: Final = "Save it as a single-channel 8-bit PNG (palette or grey) whose values are class numbers"
_IMSAVE_COLOURS: Final = ("68, 1, 84", "253, 231, 36", "253, 231, 37")  # the ends of viridis, plt.imsave's default
_PHOTOMETRIC: Final = 262  # a TIFF tag


class DecodedMask(NamedTuple):
    """The numbers of a mask: uint8 or uint16 [H, W], or int32 where some pixels are `NO_DATA`."""

    numbers: MaskArray
    notes: tuple[Note, ...] = ()  # what was dropped or assumed
    repaired: bool = False  # whether the colours of its classes overruled indices


def decode_mask(data: bytes, name: str, palette_classes: PaletteClasses = ()) -> DecodedMask:
    """The numbers stored in one mask.

    Palette files give indices, files of 1, 2 or 4 bits the stored number (decoders spread it over 0 to 255), all others
    their numbers of any type, whole and from 0 to 65535; a GIF of greys gives these. Colour files are read where all
    their channels agree; transparency is dropped. `name` is for messages only. Raises DataError for other colour files,
    other numbers, lossy compressions and damaged bytes.

    With `palette_classes` an index whose palette colour is that of another class becomes that class, but for 255 where
    no class has it; a colour file is read by its colours, other ones as 255, unless it shows class indices as grey.
    """
    container = sniff(data)
    if container in ("JPEG", "WebP"):
        raise DataError(f"{name} is a {container} file, whose compression changes class numbers. {_CURE}.")
    if container == "PNG" and (plain := decode_plain_png(data)) is not None:
        decoded = DecodedMask(plain)
    elif is_gif(data):
        decoded = DecodedMask(np.array(read_gif(data, name), np.uint8))
    else:
        tiff = _open_tiff(data, name) if container == "TIFF" else None
        if tiff is None or _is_for_pillow(tiff):
            image = open_image(data, name)
            if palette_classes and len(image.getbands()) > 2 and stored_bits(image, data) <= 8:
                return _by_colour(PillowImage(image, name).decode(3), palette_classes)
            stored = _read_image(image, data, name)
        else:
            tiff.check_numbers("Masks", _CURE[0].lower() + _CURE[1:])
            stored = _equal_channels(tiff.read()[..., : tiff.samples - tiff.has_opacity], name)
        numbers, notes = _class_numbers(stored, tiff.no_data if tiff else None, name)
        pages = _check_pages(tiff) if tiff else 1
        decoded = DecodedMask(numbers, (Note("pages", pages), *notes) if pages > 1 else notes)
    return _repair(decoded, mask_palette(data), palette_classes) if palette_classes else decoded


def is_colour_image(data: bytes, name: str) -> bool:
    """Whether a file holds colours of 8 bits rather than one number a pixel. DataError for what is no image."""
    if sniff(data) == "TIFF" and not _is_for_pillow(_open_tiff(data, name)):
        return False
    image = open_image(data, name)
    return len(image.getbands()) > 2 and stored_bits(image, data) <= 8


def encode_mask(mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A palette PNG of uint8 [H, W] class numbers; `palette` is uint8 [C, 3]."""
    return encode_plain_png(mask, palette_of_256(palette))


def palette_of_256(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colours of all pixel values, uint8 [256, 3], from those of classes; ignore has IGNORE_COLOUR."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette[:256]
    colours[IGNORE] = IGNORE_COLOUR
    return colours


def _read_image(image: ImageFile.ImageFile, data: bytes, name: str) -> NDArray[Any]:
    bits = stored_bits(image, data)
    if bits > 8 and len(image.getbands()) > 1:
        raise DataError(f"{name} has several channels of {bits} bits. {_CURE}.")
    load_pixels(image, name)
    pixels = np.asarray(image)
    match image.mode:
        case "L" if bits in (2, 4):
            numbers: NDArray[Any] = pixels // np.uint8(255 // (2**bits - 1))
        case "1" | "L" | "P":
            numbers = np.array(image, dtype=np.uint8)
        case "LA" | "PA" | "La":
            numbers = np.array(image.getchannel(0))
        case "RGB" | "RGBA" | "RGBX":
            numbers = _equal_channels(pixels[..., :3], name)
        case "I" | "I;16" | "I;16B" | "I;16L":
            numbers = pixels
        case mode:
            raise DataError(f"{name} has an unusual pixel format for a mask (Pillow's mode {mode}). {_CURE}.")
    photometric = image.tag_v2.get(_PHOTOMETRIC) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    if photometric == WHITE_IS_ZERO and image.mode in ("1", "L"):  # Pillow gives the complements of what is stored
        return np.uint8(2**bits - 1) - numbers
    return numbers


def _open_tiff(data: bytes, name: str) -> Tiff:
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


def _check_pages(tiff: Tiff) -> int:
    """How many pages a mask has, of which the first counts; DataError where one shows anything else."""
    pages = tiff.count_pages()
    if pages > 1 and tiff.decodes:
        first = tiff.read_page(tiff.file.pages.first)
        for number, page in enumerate(tiff.further_pages(), 2):
            if not np.array_equal(tiff.read_page(page), first, equal_nan=first.dtype.kind == "f"):
                raise DataError(
                    f"{tiff.name} has {pages} pages, of which page {number} differs from the first: a mask is one "
                    "page. Save the right one, or each as a file of its own."
                )
    return pages


def _equal_channels(pixels: NDArray[Any], name: str) -> NDArray[Any]:
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
            f"{shown}, not one number a pixel. {_CURE}."
        )
    return np.ascontiguousarray(pixels[..., 0])


def _class_numbers(stored: NDArray[Any], tag: float | None, name: str) -> tuple[MaskArray, tuple[Note, ...]]:
    """Numbers of any type, [H, W], as those of a mask, with what is assumed of them; `tag` is the file's no-data value.
    0 stays the class 0 whatever the tag says, for GDAL and QGIS write it into masks whose background is 0.
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
    """Raise DataError for a number that is not from 0 to 65535, FractionError for one that is not whole."""
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


@functools.lru_cache(maxsize=8)  # a data set has one or a few sets of classes, and many masks
def _owners(palette_classes: PaletteClasses) -> dict[Colour, int]:
    """The class of each colour that only one class has."""
    counts = Counter(colour for _, colour in palette_classes)
    return {colour: index for index, colour in palette_classes if counts[colour] == 1}


def _repair(decoded: DecodedMask, palette: NDArray[np.uint8] | None, palette_classes: PaletteClasses) -> DecodedMask:
    """Give indices whose palette colour is that of another class the index of that class."""
    if palette is None:
        return decoded
    owners, known = _owners(palette_classes), dict(palette_classes)
    numbers = decoded.numbers.copy()
    for index in np.unique(decoded.numbers).tolist():
        colour = tuple(palette[index].tolist())
        if (index != IGNORE or index in known) and colour != known.get(index) and colour in owners:
            numbers[decoded.numbers == index] = owners[colour]
    return decoded._replace(numbers=numbers, repaired=not np.array_equal(numbers, decoded.numbers))


def _by_colour(pixels: NDArray[np.uint8], palette_classes: PaletteClasses) -> DecodedMask:
    """The classes of RGB pixels, uint8 [H, W, 3], or their grey values where these are class indices."""
    grey = pixels[..., 0]
    numbers = {IGNORE, *(index for index, _ in palette_classes)}
    if (pixels == pixels[..., :1]).all() and set(np.unique(grey).tolist()) <= numbers:
        return DecodedMask(np.ascontiguousarray(grey))
    return DecodedMask(ColourTable(_owners(palette_classes)).classes(pixels, unknown=IGNORE), repaired=True)
