"""Pictures for people: images of any bands made visible, masks drawn over them, and sheets of them with a legend.

Knows contrast, colours, outlines and text. Refuses to know where pictures come from and what becomes of them.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segwright.formats.masks import IGNORE_COLOUR
from segwright.formats.pixels import Pixels
from segwright.labels import IGNORE

_PERCENTILES: Final = (2, 98)  # of a band, which become black and full brightness

_OUTLINE_OPACITY: Final = 0.9
_HATCH_PERIOD: Final = 8  # pixels from one stripe to the next, at the smallest
_HATCH_OPACITY: Final = 0.45

_BACKGROUND: Final = (250, 250, 248)
_INK: Final = (40, 44, 52)
_MARGIN: Final = 16  # pixels
_GAP: Final = 8
_FONT_SIZE: Final = 16
_SWATCH: Final = 16
_LINE: Final = 26


def displayable(image: Pixels) -> NDArray[np.uint8]:
    """An image of any bands and bits, [H, W, bands], as people can see it: uint8 [H, W, 3].

    8-bit images of 3 bands are returned as they are. Of others the first three bands are shown as red, green and blue
    (a single one as grey; of two, the second as green and blue), each stretched from its 2nd to its 98th percentile.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(image, np.uint8)
    last = image.shape[2] - 1
    shown = [_stretched(image[..., band]) for band in range(min(last, 2) + 1)]
    return np.stack([shown[min(band, last)] for band in range(3)], axis=-1)


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], palette: NDArray[np.uint8], opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Draw the classes of a mask over its image; returns uint8 [H, W, 3].

    `image` is uint8 [H, W, 3], `mask` uint8 [H, W], `palette` uint8 [C, 3], `opacity` from 0 to 1 is that of
    the class colours. Borders between classes are drawn stronger. Ignored pixels keep the picture, hatched.
    """
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette[:256]
    strength = np.full(256, round(255 * opacity), np.uint8)
    strength[IGNORE] = 0
    colours[IGNORE] = IGNORE_COLOUR
    alpha = cv2.LUT(mask, strength)
    thickness = max(1, round(min(mask.shape) / 400))
    alpha[_outlines(mask, thickness)] = round(255 * max(opacity, _OUTLINE_OPACITY))
    alpha[(mask == IGNORE) & _hatching(mask.shape, thickness)] = round(255 * _HATCH_OPACITY)
    return _blend(image, colours[mask], np.asarray(alpha, np.uint8))


def contact_sheet(
    tiles: Sequence[NDArray[np.uint8]], legend: Sequence[tuple[str, tuple[int, int, int]]], columns: int
) -> NDArray[np.uint8]:
    """Lay out pictures, each uint8 [H, W, 3], in up to `columns` columns above a legend of names and colours.

    Pictures of different sizes are centred in cells of the largest height and width. Returns uint8 [H, W, 3].
    """
    columns = max(min(columns, len(tiles)), 1)
    rows = -(-len(tiles) // columns)
    cell_height = max((tile.shape[0] for tile in tiles), default=0)
    cell_width = max((tile.shape[1] for tile in tiles), default=0)
    width = 2 * _MARGIN + columns * cell_width + (columns - 1) * _GAP
    entries = _legend_lines(legend, width - 2 * _MARGIN)
    height = 2 * _MARGIN + rows * (cell_height + _GAP) + _LINE * len(entries)
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        x = _MARGIN + column * (cell_width + _GAP) + (cell_width - tile.shape[1]) // 2
        y = _MARGIN + row * (cell_height + _GAP) + (cell_height - tile.shape[0]) // 2
        sheet.paste(Image.fromarray(tile), (x, y))
    _draw_legend(sheet, entries, top=_MARGIN + rows * (cell_height + _GAP))
    return np.array(sheet)


def _stretched(band: Pixels) -> NDArray[np.uint8]:
    """One band [H, W] as uint8, its percentiles spread over all values; black where all its values are the same, and
    where there is no data.
    """
    known = band[np.isfinite(band)] if band.dtype == np.float32 else band
    if not known.size:
        return np.zeros(band.shape, np.uint8)
    low, high = (float(value) for value in np.percentile(known, _PERCENTILES))
    span = high - low if band.dtype == np.float32 and high > low else max(high - low, 1)
    scaled = np.nan_to_num((band.astype(np.float32) - low) * (255 / span))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _outlines(mask: NDArray[np.uint8], thickness: int) -> NDArray[np.bool_]:
    """Labelled pixels next to a pixel of another class, [H, W]."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thickness + 1, 2 * thickness + 1))
    return np.asarray((cv2.erode(mask, kernel) != mask) & (mask != IGNORE), np.bool_)


def _hatching(shape: tuple[int, ...], thickness: int) -> NDArray[np.bool_]:
    """Diagonal stripes, [H, W]."""
    diagonal = np.arange(shape[0], dtype=np.int32)[:, None] + np.arange(shape[1], dtype=np.int32)
    return np.asarray(diagonal % (_HATCH_PERIOD * thickness) < 2 * thickness, np.bool_)


def _blend(image: NDArray[np.uint8], colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mix two pictures, [H, W, 3], by the second's opacity, [H, W] of 0 to 255; rounded."""
    weight = alpha[..., None].astype(np.uint16)
    mixed = colours * weight + image * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


_Entry = tuple[int, str, tuple[int, int, int]]


def _legend_lines(legend: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> list[list[_Entry]]:
    """Legend entries (x, name, colour) in lines that fit into `width` pixels."""
    font = _font()
    lines: list[list[_Entry]] = []
    x = width + 1
    for name, colour in legend:
        needed = _SWATCH + _GAP + int(font.getlength(name)) + _MARGIN
        if x + needed > width:
            lines.append([])
            x = 0
        lines[-1].append((x, name, colour))
        x += needed
    return lines


def _draw_legend(sheet: Image.Image, lines: list[list[_Entry]], top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    font = _font()
    for number, line in enumerate(lines):
        middle = top + number * _LINE + _LINE // 2 + _GAP
        for x, name, colour in line:
            left = _MARGIN + x
            box = (left, middle - _SWATCH // 2, left + _SWATCH, middle + _SWATCH // 2)
            draw.rounded_rectangle(box, radius=3, fill=colour)
            draw.text((left + _SWATCH + _GAP, middle), name, fill=_INK, font=font, anchor="lm")


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which needs no font on the machine."""
    return ImageFont.load_default(_FONT_SIZE)
