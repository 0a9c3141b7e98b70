"""Images of any bands as RGB for people, and masks drawn over them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from segwright.errors import UserError
from segwright.formats.masks import IGNORE_COLOUR
from segwright.formats.pixels import Pixels
from segwright.labels import IGNORE, numbered_names
from segwright.wording import did_you_mean, listed

OPACITY: Final = 0.5
"""The usual opacity of class colours over an image."""

_PERCENTILES: Final = (2, 98)  # of a band, which become black and full brightness
_OUTLINE_OPACITY: Final = 0.9
_HATCH_PERIOD: Final = 8  # pixels from one stripe to the next, at the smallest
_HATCH_OPACITY: Final = 0.45
_NAMES_SHOWN: Final = 12
_BACKGROUND_NAMES: Final = ("bg", "unlabeled", "unlabelled", "void", "nothing", "none", "empty")


def displayable(image: Pixels) -> NDArray[np.uint8]:
    """An image of any bands and dtype, [H, W, bands], as RGB: uint8 [H, W, 3].

    8-bit images of 3 bands are returned as they are. Of others the first three bands are shown as red, green and blue
    (a single one as grey; of two, the second as green and blue), each stretched from its 2nd to its 98th percentile.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(image, np.uint8)
    last = image.shape[2] - 1
    shown = [_stretched(image[..., band]) for band in range(min(last, 2) + 1)]
    return np.stack([shown[min(band, last)] for band in range(3)], axis=-1)


def background(class_names: Sequence[str]) -> tuple[int, ...]:
    """The classes that an overlay leaves out: class 0 where it is called background, or where no class has a name of
    its own, since masks of objects number their background 0; else none, as in street scenes, whose class 0 is road.
    """
    first = class_names[0].casefold().strip(" _-")
    unnamed = tuple(class_names) == numbered_names(len(class_names))
    return (0,) if unnamed or "background" in first or first in _BACKGROUND_NAMES else ()


def choose_colours(
    palette: NDArray[np.uint8], class_names: Sequence[str], chosen: Mapping[str, str]
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """The palette, uint8 [C, 3], with the chosen colours, and the classes that overlays leave out.

    `chosen` names classes, by name or index, and their colours: `red`, `#ff0000`, or `none` for a class to be left out.
    A class with a colour of its own is drawn, even the background. Raises UserError for other names and colours.
    """
    palette, clear = palette.copy(), set(background(class_names))
    known = {**{str(index): index for index in range(len(class_names))}, **{n: i for i, n in enumerate(class_names)}}
    for name, colour in chosen.items():
        if name not in known:
            near = did_you_mean(name, class_names)
            raise UserError(
                f"colour names a class {name}, but the classes are {listed(class_names, _NAMES_SHOWN)}.{near}",
                name="colour",
                value=name,
            )
        clear.add(known[name])
        if colour.strip().casefold() != "none":
            clear.remove(known[name])
            try:
                palette[known[name]] = ImageColor.getrgb(colour.strip())[:3]
            except ValueError:
                allowed = (
                    "a name such as red, a number such as #ff0000, or none, which leaves the class out of overlays"
                )
                sentence = f"the colour of {name} is {colour}; it takes {allowed}."
                raise UserError(sentence, name="colour", value=colour) from None
    return palette, tuple(sorted(clear))


def overlay(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    opacity: float = OPACITY,
    clear: Collection[int] = (),
) -> NDArray[np.uint8]:
    """Draw a mask's classes over its image; returns uint8 [H, W, 3].

    `image` is uint8 [H, W, 3], `mask` uint8 [H, W], `palette` uint8 [C, 3], `opacity` from 0 to 1 is that of
    the class colours. Borders between classes are drawn stronger. Ignored pixels are hatched. Classes in `clear`, such
    as those of `background`, leave the image as it is.
    """
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette[:256]
    strength = np.full(256, round(255 * opacity), np.uint8)
    strength[[*clear, IGNORE]] = 0
    colours[IGNORE] = IGNORE_COLOUR
    alpha = cv2.LUT(mask, strength)
    thickness = max(1, round(min(mask.shape) / 400))
    alpha[_outlines(mask, thickness, clear)] = round(255 * max(opacity, _OUTLINE_OPACITY))
    alpha[(mask == IGNORE) & _hatching(mask.shape, thickness)] = round(255 * _HATCH_OPACITY)
    weight = np.asarray(alpha, np.uint16)[..., None]
    mixed = colours[mask] * weight + image * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def _stretched(band: Pixels) -> NDArray[np.uint8]:
    """One band [H, W] as uint8, its percentiles spread over all values; a constant band and NaN are black."""
    known = band[np.isfinite(band)] if band.dtype == np.float32 else band
    if not known.size:
        return np.zeros(band.shape, np.uint8)
    low, high = (float(value) for value in np.percentile(known, _PERCENTILES))
    span = high - low if band.dtype == np.float32 and high > low else max(high - low, 1)
    scaled = np.nan_to_num((band.astype(np.float32) - low) * (255 / span))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _outlines(mask: NDArray[np.uint8], thickness: int, clear: Collection[int]) -> NDArray[np.bool_]:
    """Pixels of drawn classes next to a pixel of a class that is lower or not drawn, [H, W]."""
    order = np.arange(1, 257).clip(max=IGNORE).astype(np.uint8)
    order[list(clear)] = 0
    ranks = np.asarray(cv2.LUT(mask, order), np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thickness + 1, 2 * thickness + 1))
    return np.asarray((cv2.erode(ranks, kernel) != ranks) & (mask != IGNORE), np.bool_)


def _hatching(shape: tuple[int, ...], thickness: int) -> NDArray[np.bool_]:
    """Diagonal stripes, [H, W]."""
    diagonal = np.arange(shape[0], dtype=np.int32)[:, None] + np.arange(shape[1], dtype=np.int32)
    return np.asarray(diagonal % (_HATCH_PERIOD * thickness) < 2 * thickness, np.bool_)
