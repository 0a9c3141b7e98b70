"""Masks whose colours are known to mean something: indices repaired by the colours that they have.

Knows palettes and what a labelling tool says of its colours. Refuses to know classes: what comes out are indices, as
from any mask. Where the palette gives an index another colour than the legend does, the colour is right: labelling
jobs of 2020 permuted their indices.

Source: SageMaker's contract, section 2.3.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from segwright.formats.containers import open_picture, sniff
from segwright.formats.images import decode_image
from segwright.formats.masks import MaskArray, decode_mask, mask_palette
from segwright.labels import IGNORE

Legend = tuple[tuple[int, tuple[int, int, int]], ...]
"""Pairs of an index and its colour, RGB."""


def decode_with_legend(data: bytes, name: str, legend: Legend) -> tuple[MaskArray, bool]:
    """The indices of one mask, uint8 or uint16 [H, W], and whether its colours had to be believed in place of them.

    A palette mask gives its indices, but for those whose palette colour is that of another index in the legend. A
    colour mask is read by its colours, and what the legend does not know is `IGNORE`. Raises DataError as
    `decode_mask` does.
    """
    if sniff(data) not in ("JPEG", "WebP") and len(open_picture(data, name).getbands()) > 2:
        return _by_colour(decode_image(data, name), legend), True
    indices, palette = decode_mask(data, name), mask_palette(data)
    if palette is None:
        return indices, False
    owners, known = _owners(legend), dict(legend)
    wrong = {
        index: owners[colour]
        for index in np.unique(indices).tolist()
        if index < len(palette) and (colour := _colour(palette[index])) != known.get(index) and colour in owners
    }
    return _renumbered(indices, wrong), bool(wrong)


def _owners(legend: Legend) -> dict[tuple[int, ...], int]:
    """The index of each colour that only one index has."""
    counts = Counter(colour for _, colour in legend)
    return {colour: index for index, colour in legend if counts[colour] == 1}


def _colour(entry: NDArray[np.uint8]) -> tuple[int, ...]:
    return tuple(entry.tolist())


def _renumbered(indices: MaskArray, wrong: dict[int, int]) -> MaskArray:
    renumbered = indices.copy()
    for index, right in wrong.items():
        renumbered[indices == index] = right
    return renumbered


def _by_colour(pixels: NDArray[np.generic], legend: Legend) -> NDArray[np.uint8]:
    """Indices of RGB pixels, uint8 [H, W, 3]."""
    wide = pixels.astype(np.int32)
    codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    indices = np.full(codes.shape, IGNORE, np.uint8)
    for (red, green, blue), index in _owners(legend).items():
        indices[codes == (red << 16 | green << 8 | blue)] = index
    return indices
