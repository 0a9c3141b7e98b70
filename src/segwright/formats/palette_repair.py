"""Masks whose colours are known to mean something: indices repaired by the colours that they have.

Knows palettes and what a labelling tool says of its colours. Refuses to know classes: what comes out are indices, as
from any mask. Where the palette gives an index another colour than the legend does, the colour is right: labelling
jobs of 2020 permuted their indices.

Source: SageMaker's contract, section 2.3.
"""

import functools
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from segwright.formats.colour_table import Colour, ColourTable
from segwright.formats.file_types import sniff
from segwright.formats.gif import is_gif
from segwright.formats.images import decode_image
from segwright.formats.masks import MaskArray, decode_mask, is_colour_picture, mask_palette
from segwright.labels import IGNORE

Legend = tuple[tuple[int, Colour], ...]
"""Pairs of an index and its colour, RGB."""


def decode_with_legend(data: bytes, name: str, legend: Legend) -> tuple[MaskArray, bool]:
    """The indices of one mask, uint8 or uint16 [H, W], and whether its colours had to be believed in place of them.

    A palette mask gives its indices, but for those whose palette colour is that of another index in the legend; 255, to
    be ignored, stays unless the legend names it. A colour mask is read by its colours, and what the legend does not
    know is `IGNORE`; where it shows nothing but numbers of the legend as grey, these count. Raises DataError as
    `decode_mask` does.
    """
    if sniff(data) not in ("JPEG", "WebP") and not is_gif(data) and is_colour_picture(data, name):
        return _of_colours(np.asarray(decode_image(data, name), np.uint8), legend)
    indices, palette = decode_mask(data, name), mask_palette(data)
    if palette is None:
        return indices, False
    owners, known = _owners(legend), dict(legend)
    wrong = {
        index: owners[colour]
        for index in np.unique(indices).tolist()
        if (index != IGNORE or index in known)
        and (colour := _colour(palette[index])) != known.get(index)
        and colour in owners
    }
    return _renumbered(indices, wrong), bool(wrong)


@functools.lru_cache(maxsize=8)  # a data set has one or a few legends, and many masks
def _owners(legend: Legend) -> dict[Colour, int]:
    """The index of each colour that only one index has."""
    counts = Counter(colour for _, colour in legend)
    return {colour: index for index, colour in legend if counts[colour] == 1}


def _colour(entry: NDArray[np.uint8]) -> Colour:
    red, green, blue = entry.tolist()
    return red, green, blue


def _renumbered(indices: MaskArray, wrong: dict[int, int]) -> MaskArray:
    renumbered = indices.copy()
    for index, right in wrong.items():
        renumbered[indices == index] = right
    return renumbered


def _of_colours(pixels: NDArray[np.uint8], legend: Legend) -> tuple[NDArray[np.uint8], bool]:
    """Indices of RGB pixels, uint8 [H, W, 3], and whether they were found by colour."""
    grey = pixels[..., 0]
    numbers = {IGNORE, *(index for index, _ in legend)}
    if (pixels == pixels[..., :1]).all() and set(np.unique(grey).tolist()) <= numbers:
        return np.ascontiguousarray(grey), False
    return ColourTable(_owners(legend)).classes(pixels, unknown=IGNORE), True
