"""Masks: bytes to one number a pixel and back.

Knows that in a mask the stored number counts and never the colour: palette files give their indices, and the
scaling that decoders apply to grey values of few bits is undone. Refuses to know classes; label maps turn
numbers into those.
"""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from segwright.errors import DataError
from segwright.formats.containers import load_picture, open_picture, stored_bits
from segwright.formats.gif import is_gif, read_gif
from segwright.formats.png import decode_plain_png
from segwright.formats.signatures import sniff
from segwright.formats.stored_palette import stored_palette
from segwright.labels import IGNORE

MASK_SUFFIXES: Final = (".png", ".tif", ".tiff", ".bmp", ".dib", ".gif")
"""Endings, in lower case, of the files that are looked for as masks."""

IGNORE_COLOUR: Final = (224, 224, 192)
"""Colour of pixels that belong to no class (255) in the palette PNGs that are written: the cream of Pascal
VOC.
"""

_PHOTOMETRIC: Final = 262  # a TIFF tag
_WHITE_IS_ZERO: Final = 0

MaskArray = NDArray[np.uint8] | NDArray[np.uint16]

_IMSAVE_COLOURS: Final = ("68, 1, 84", "253, 231, 36", "253, 231, 37")
"""The first and the last colour of matplotlib's viridis, which plt.imsave uses where it is told nothing else."""

_CURE: Final = "Save it as a single-channel 8-bit PNG (palette or grey) whose values are class numbers"


def decode_mask(data: bytes, name: str) -> MaskArray:
    """The numbers stored in one mask: uint8 or uint16 [H, W].

    Palette files give indices, 1-bit files 0 and 1, grey of 2 or 4 bits the stored number (decoders spread it
    over 0 to 255), 16-bit files uint16; a GIF gives its greys where all its colours are grey. Colour files are
    read where all their channels agree; transparency is dropped. `name` is for messages only. Raises DataError
    for other colour files, for lossy formats and damaged bytes.
    """
    container = sniff(data)
    if container in ("JPEG", "WebP"):
        raise DataError(f"{name} is a {container} file, whose compression changes class numbers. {_CURE}.")
    if container == "PNG" and (plain := decode_plain_png(data)) is not None:
        return plain
    if is_gif(data):
        return np.array(read_gif(data, name), np.uint8)
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
        and picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    )


def _highest(bits: int) -> np.uint8:
    return np.uint8(2**bits - 1)


def _numbers(picture: ImageFile.ImageFile, bits: int, name: str) -> MaskArray:
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
            return _sixteen_bits(np.asarray(picture), name)
    raise DataError(f"{name} has an unusual pixel format for a mask (Pillow's mode {picture.mode}). {_CURE}.")


def _equal_channels(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """One channel of uint8 [H, W, 3] when all three agree; DataError otherwise."""
    differs = (pixels != pixels[..., :1]).any(axis=-1)
    if differs.any():
        row, column = np.unravel_index(int(differs.argmax()), differs.shape)
        colour = ", ".join(str(value) for value in pixels[row, column])
        shown = " (the colours of plt.imsave, which stretches each mask by itself)" if colour in _IMSAVE_COLOURS else ""
        raise DataError(
            f"{name} is a colour picture (red, green, blue = {colour} at row {row}, column {column}){shown}, "
            f"not one number a pixel. {_CURE}."
        )
    return np.ascontiguousarray(pixels[..., 0])


def _sixteen_bits(pixels: NDArray[np.integer], name: str) -> NDArray[np.uint16]:
    """Whole numbers [H, W] as uint16; DataError for a number that does not fit."""
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise DataError(f"{name} holds the number {low if low < 0 else high}; masks hold 0 to 65535. {_CURE}.")
    return pixels.astype(np.uint16)
