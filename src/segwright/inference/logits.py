"""The one way from an image to logits, masks and probabilities: validation, evaluation and prediction use it.

Knows a network and one decoded image. Bounded in memory whatever the image's size: above a pixel budget the
network sees overlapping windows, and logits reach full resolution in bands of rows only. Refuses to know files.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.formats.pixels import Pixels
from segwright.networks import SegmentationNetwork, resize

PIXEL_BUDGET: Final = 1 << 21
"""Pixels that a network sees at once: 2048 x 1024, about 2 GB of activations for a ResNet-50 in float32."""

_MARGIN: Final = 128  # context around what a window contributes, in pixels
_BAND_VALUES: Final = 1 << 24  # full-resolution logits alive at a time: 64 MB in float32


@dataclass(frozen=True)
class Span:
    """A stretch of one axis: the network sees [start, stop), of which [keep_start, keep_stop) is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Block:
    """Logits of a part of an image at full resolution: float32 [C, rows, columns]."""

    rows: slice
    columns: slice
    logits: Tensor


def windows(length: int, split: int, margin: int = _MARGIN) -> list[Span]:
    """Cut an axis into the fewest spans of at most `split` that overlap by `margin` on either side."""
    if length <= split:
        return [Span(0, length, 0, length)]
    count = math.ceil(length / (split - 2 * margin))
    edges = [round(index * length / count) for index in range(count + 1)]
    return [Span(max(start - margin, 0), min(stop + margin, length), start, stop) for start, stop in pairwise(edges)]


@torch.inference_mode()
def logit_blocks(
    network: SegmentationNetwork,
    image: Pixels,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    pixel_budget: int = PIXEL_BUDGET,
) -> Iterator[Block]:
    """Yield the logits of an image, [H, W, bands], block by block; the blocks tile it without overlap.

    The network must be in evaluation mode and on `device`. At or below `pixel_budget` pixels the network sees
    the whole image, and the blocks together equal its forward pass.
    """
    height, width = image.shape[:2]
    whole = height * width <= pixel_budget
    split = max(height, width) if whole else max(math.isqrt(pixel_budget), 4 * _MARGIN)
    for vertical, horizontal in product(windows(height, split), windows(width, split)):
        window = image[vertical.start : vertical.stop, horizontal.start : horizontal.stop]
        yield from _window_blocks(network, window, vertical, horizontal, device, precision)


def image_mask(
    network: SegmentationNetwork,
    image: Pixels,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    pixel_budget: int = PIXEL_BUDGET,
) -> NDArray[np.uint8]:
    """Return the class of every pixel, uint8 [H, W]: the argmax of the logits at full resolution."""
    mask = np.empty(image.shape[:2], np.uint8)
    for block in logit_blocks(network, image, device=device, precision=precision, pixel_budget=pixel_budget):
        mask[block.rows, block.columns] = block.logits.argmax(0).to(torch.uint8).cpu().numpy()
    return mask


def image_probabilities(
    network: SegmentationNetwork,
    image: Pixels,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    pixel_budget: int = PIXEL_BUDGET,
) -> NDArray[np.float32]:
    """Return the softmax of the logits, float32 [C, H, W]; the sum over C is 1."""
    probabilities = np.empty((network.spec.num_classes, *image.shape[:2]), np.float32)
    for block in logit_blocks(network, image, device=device, precision=precision, pixel_budget=pixel_budget):
        probabilities[:, block.rows, block.columns] = block.logits.softmax(0).cpu().numpy()
    return probabilities


def _window_blocks(
    network: SegmentationNetwork,
    window: Pixels,
    vertical: Span,
    horizontal: Span,
    device: torch.device,
    precision: torch.dtype,
) -> Iterator[Block]:
    # A copy: windows are cut out of the image, and torch takes no read-only arrays, which Pillow's are.
    pixels = torch.from_numpy(np.array(window)).to(device).permute(2, 0, 1)[None]
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        coarse = network.coarse_logits(pixels).float()
    height, width = window.shape[:2]
    kept = slice(horizontal.keep_start - horizontal.start, horizontal.keep_stop - horizontal.start)
    band = max(_BAND_VALUES // (coarse.shape[1] * width), 1)
    for top in range(vertical.keep_start, vertical.keep_stop, band):
        bottom = min(top + band, vertical.keep_stop)
        rows = resized_rows(coarse, height, width, top - vertical.start, bottom - vertical.start)
        columns = slice(horizontal.keep_start, horizontal.keep_stop)
        yield Block(slice(top, bottom), columns, rows[0, :, :, kept])


def resized_rows(coarse: Tensor, height: int, width: int, top: int, bottom: int) -> Tensor:
    """Return rows [top, bottom) of `resize(coarse, (height, width))` without computing the others.

    float [B, C, h, w] becomes [B, C, bottom - top, width]; bilinear, corners aligned.
    """
    last = coarse.shape[2] - 1
    rows = torch.arange(top, bottom, device=coarse.device, dtype=coarse.dtype)
    position = rows * (last / max(height - 1, 1))
    upper = position.floor().clamp(max=last)
    share = (position - upper)[:, None]
    index = upper.long()
    between = coarse[:, :, index] * (1 - share) + coarse[:, :, (index + 1).clamp(max=last)] * share
    return resize(between, (bottom - top, width))
