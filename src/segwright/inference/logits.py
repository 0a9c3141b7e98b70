"""The one way from an image to logits, masks and probabilities, for validation, evaluation and prediction.

Memory is bounded whatever the image's size: above a pixel budget the network sees overlapping windows, and logits
reach full resolution in bands of rows only.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segwright.formats.pixels import Pixels
from segwright.inference.runtimes import Runtime
from segwright.networks import resize

PIXEL_BUDGET: Final = 1 << 21
"""Pixels that a network sees at once: 2048 x 1024, about 2 GB of activations for a ResNet-50 in float32."""

_MARGIN: Final = 128  # context around what a window contributes, in pixels
_LEAST_DATA: Final = 0.01  # of a resized pixel
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


def windows(length: int, longest: int, margin: int = _MARGIN) -> list[Span]:
    """Cut an axis into the fewest spans of at most `longest` that overlap by `margin` at either end."""
    if length <= longest:
        return [Span(0, length, 0, length)]
    count = math.ceil(length / (longest - 2 * margin))
    edges = [round(index * length / count) for index in range(count + 1)]
    return [Span(max(start - margin, 0), min(stop + margin, length), start, stop) for start, stop in pairwise(edges)]


@torch.inference_mode()
def logit_blocks(
    runtime: Runtime,
    image: Pixels,
    *,
    scale: float = 1.0,
    tta: bool = False,
    pixel_budget: int = PIXEL_BUDGET,
) -> Iterator[Block]:
    """Yield the logits of an image, [H, W, bands], block by block; the blocks tile it without overlap.

    The network sees images at `scale` times their size; logits have the image's own.
    With test-time augmentation (`tta`) they are the logarithms of probabilities, means over image and mirror image.
    At or below `pixel_budget` pixels the network sees the whole image, and the blocks together equal its forward pass.
    """
    height, width = image.shape[:2]
    scaled_height, scaled_width = scaled_size(height, width, scale)
    longest, margin = max(height, width), int(_MARGIN / scale)
    if scaled_height * scaled_width > pixel_budget:
        longest = int(max(math.isqrt(pixel_budget), 4 * _MARGIN) / scale)
    for vertical, horizontal in product(windows(height, longest, margin), windows(width, longest, margin)):
        window = image[vertical.start : vertical.stop, horizontal.start : horizontal.stop]
        coarse = _coarse_logits(runtime, window, scale, tta)
        yield from _window_blocks(coarse, window.shape[0], window.shape[1], vertical, horizontal)


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width times `scale`, in whole pixels, at least one."""
    return max(round(height * scale), 1), max(round(width * scale), 1)


def resized_pixels(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize pixels [B, bands, H, W] of any type: bilinear, antialiased where they become fewer, pixel centres at
    half-integers. Whole numbers are rounded to whole ones; of others, those that are not finite are no data: pixels are
    means over those that have some, and NaN where hardly any have.
    """
    if pixels.shape[2:] == (height, width):
        return pixels

    def warp(values: Tensor) -> Tensor:
        fewer = height < values.shape[2] or width < values.shape[3]
        return nn.functional.interpolate(values, (height, width), mode="bilinear", antialias=fewer)

    if not pixels.is_floating_point():
        return warp(pixels.float()).round().to(pixels.dtype)
    known = pixels.isfinite()
    shares = warp(known.to(pixels.dtype))
    means = warp(torch.where(known, pixels, 0)) / shares.clamp(min=_LEAST_DATA)
    return torch.where(shares > _LEAST_DATA, means, math.nan)


def assemble(
    blocks: Iterable[Block],
    mask: NDArray[np.uint8] | None = None,
    probabilities: NDArray[Any] | None = None,
    confidence: NDArray[np.uint8] | None = None,
) -> None:
    """Fill a mask, uint8 [H, W], with the argmax of logits, probabilities, float32 or float16 [C, H, W], with their
    softmax, and a confidence, uint8 [H, W], with the softmax of the mask's class, 255 times.
    """
    for block in blocks:
        if mask is not None:
            mask[block.rows, block.columns] = block.logits.argmax(0).to(torch.uint8).cpu().numpy()
        if probabilities is not None:
            probabilities[:, block.rows, block.columns] = _softmax(block.logits, probabilities.dtype)
        if confidence is not None:
            highest = 1 / (block.logits - block.logits.amax(0)).exp().sum(0)  # of the softmax
            confidence[block.rows, block.columns] = (255 * highest).round().to(torch.uint8).cpu().numpy()


def _softmax(logits: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The softmax of logits [C, H, W], rounded to a dtype, with the same argmax: the winner of a tie is raised."""
    winners = logits.argmax(0)
    rounded = logits.softmax(0).to(torch.float16 if dtype == np.float16 else torch.float32)
    rows, columns = (rounded.argmax(0) != winners).nonzero(as_tuple=True)
    probabilities: NDArray[Any] = rounded.cpu().numpy()
    if len(rows):
        winner, row, column = (index.cpu().numpy() for index in (winners[rows, columns], rows, columns))
        highest = probabilities[:, row, column].max(axis=0)
        probabilities[winner, row, column] = np.nextafter(highest, dtype.type(2))
    return probabilities


def _coarse_logits(runtime: Runtime, window: Pixels, scale: float, tta: bool) -> list[Tensor]:
    """Coarse logits [1, C, h, w] of a window and, with `tta`, of its mirror image, mirrored back."""
    # A copy: windows are cut out of the image, and torch takes no read-only arrays, which Pillow's are.
    pixels = torch.from_numpy(np.array(window)).to(runtime.device).permute(2, 0, 1)[None]
    pixels = resized_pixels(pixels, *scaled_size(window.shape[0], window.shape[1], scale))
    coarse = [runtime.coarse_logits(pixels)]
    if tta:
        coarse.append(runtime.coarse_logits(pixels.flip(3)).flip(3))
    return coarse


def _window_blocks(
    coarse: Sequence[Tensor], height: int, width: int, vertical: Span, horizontal: Span
) -> Iterator[Block]:
    """Blocks of a window of height x width pixels, of one coarse map of logits or the mean over several."""
    columns = slice(horizontal.keep_start, horizontal.keep_stop)
    kept = slice(columns.start - horizontal.start, columns.stop - horizontal.start)
    band = max(_BAND_VALUES // (len(coarse) * coarse[0].shape[1] * width), 1)
    for top in range(vertical.keep_start, vertical.keep_stop, band):
        bottom = min(top + band, vertical.keep_stop)
        rows = [resized_rows(one, height, width, top - vertical.start, bottom - vertical.start) for one in coarse]
        logits = rows[0] if len(rows) == 1 else torch.cat(rows).log_softmax(1).logsumexp(0, True) - math.log(len(rows))
        yield Block(slice(top, bottom), columns, logits[0, :, :, kept])


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
