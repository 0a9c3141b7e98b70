"""Masks: bytes to one number a pixel and back.

The stored number counts and never the colour, unless a labelling tool states the colours of its classes (SageMaker's
contract, section 2.3: labelling jobs of 2020 permuted their indices).
"""

import functools
import io
from collections import Counter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from segwright.errors import DataError
from segwright.formats.file_types import is_gif, sniff
from segwright.formats.mask_numbers import CURE, MaskArray, class_numbers, equal_channels
from segwright.formats.palettes import Colour, ColourTable, mask_palette
from segwright.formats.pillow import PillowImage, load_pixels, open_image, read_gif, stored_bits
from segwright.formats.pixels import Note
from segwright.formats.png import decode_plain_png
from segwright.formats.tiff import LOSSY, PALETTE, WHITE_IS_ZERO, Tiff
from segwright.labels import IGNORE

MASK_SUFFIXES: Final = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Endings, in lower case, of the files that are looked for as masks."""

IGNORE_COLOUR: Final = (224, 224, 192)
"""Colour of pixels of no class (255) in the palette PNGs that are written: the cream of Pascal VOC."""

PaletteClasses = tuple[tuple[int, Colour], ...]
"""Pairs of a class index and its colour, RGB."""

_PHOTOMETRIC: Final = 262  # a TIFF tag


class DecodedMask(NamedTuple):
    """The numbers of a mask: uint8 or uint16 [H, W], or int32 where some pixels are `NO_DATA`."""

    numbers: MaskArray
    notes: tuple[Note, ...] = ()
    """What was dropped or assumed."""
    repaired: bool = False
    """Whether the colours of its classes overruled indices."""


def decode_mask(data: bytes, name: str, palette_classes: PaletteClasses = ()) -> DecodedMask:
    """The numbers stored in one mask.

    Palette files give indices, 1-bit files 0 and 1, grey of 2 or 4 bits the stored number (decoders spread it
    over 0 to 255), all others their numbers, whatever their type, as long as they are whole and from 0 to 65535; a GIF
    gives its greys where all its colours are grey. Colour files are read where all their channels agree; transparency
    is dropped. `name` is for messages only. Raises DataError for other colour files, other numbers, lossy compressions
    and damaged bytes.

    With `palette_classes` an index whose palette colour is that of another class becomes that class, but for 255 where
    no class has it; a colour file is read by its colours, other ones as 255, unless it shows class indices as grey.
    """
    container = sniff(data)
    if container in ("JPEG", "WebP"):
        raise DataError(f"{name} is a {container} file, whose compression changes class numbers. {CURE}.")
    if container == "PNG" and (plain := decode_plain_png(data)) is not None:
        decoded = DecodedMask(plain)
    elif is_gif(data):
        decoded = DecodedMask(np.array(read_gif(data, name), np.uint8))
    else:
        tiff = _open_tiff(data, name) if container == "TIFF" else None
        if tiff is None or _is_for_pillow(tiff):
            image = open_image(data, name)
            if palette_classes and _is_colour(image, data):
                return _by_colour(PillowImage(image, name).decode(3), palette_classes)
            stored = _read_image(image, data, name)
        else:
            stored = _read_tiff(tiff)
        numbers, notes = class_numbers(stored, tiff.no_data if tiff else None, name)
        pages = _check_pages(tiff) if tiff else 1
        decoded = DecodedMask(numbers, (Note("pages", pages), *notes) if pages > 1 else notes)
    return _repair(decoded, mask_palette(data), palette_classes) if palette_classes else decoded


def is_colour_image(data: bytes, name: str) -> bool:
    """Whether a file holds colours of 8 bits rather than one number a pixel. DataError for what is no image."""
    if sniff(data) == "TIFF" and not _is_for_pillow(_open_tiff(data, name)):
        return False
    return _is_colour(open_image(data, name), data)


def encode_mask(mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A palette PNG of uint8 [H, W] class numbers; `palette` is uint8 [C, 3], ignore has IGNORE_COLOUR."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette[:256]
    colours[IGNORE] = IGNORE_COLOUR
    image = Image.fromarray(np.ascontiguousarray(mask))
    image.putpalette(colours.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _is_colour(image: ImageFile.ImageFile, data: bytes) -> bool:
    return len(image.getbands()) > 2 and stored_bits(image, data) <= 8


def _read_image(image: ImageFile.ImageFile, data: bytes, name: str) -> NDArray[Any]:
    """The stored numbers, [H, W], of a file that Pillow reads."""
    bits = stored_bits(image, data)
    if bits > 8 and len(image.getbands()) > 1:
        raise DataError(f"{name} has several channels of {bits} bits. {CURE}.")
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
            numbers = equal_channels(pixels[..., :3], name)
        case "I" | "I;16" | "I;16B" | "I;16L":
            numbers = pixels
        case mode:
            raise DataError(f"{name} has an unusual pixel format for a mask (Pillow's mode {mode}). {CURE}.")
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


def _read_tiff(tiff: Tiff) -> NDArray[Any]:
    """The numbers [H, W] of a TIFF, without opacity."""
    tiff.check_numbers("Masks", CURE[0].lower() + CURE[1:])
    return equal_channels(tiff.read()[..., : tiff.samples - tiff.has_opacity], tiff.name)


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
