"""The one way from an image to logits, masks and probabilities, for validation, evaluation and prediction.

Memory is bounded whatever the image's size: above a pixel budget the network sees overlapping windows, whose logits
are blended, and logits reach full resolution in bands of rows only.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segwright.formats.pixels import Pixels
from segwright.inference.runtimes import Runtime
from segwright.labels import IGNORE
from segwright.networks import resize

PIXEL_BUDGET: Final = 1 << 21
"""Pixels that a network sees at once: 2048 x 1024, about 2 GB of activations for a ResNet-50 in float32."""

_OVERLAP: Final = 256  # pixels that neighbouring windows share
_LEAST_WINDOW: Final = 3  # overlaps, so that no pixel lies in three windows of a row
_LEAST_DATA: Final = 0.01  # of a resized pixel
_BAND_VALUES: Final = 1 << 24  # full-resolution logits alive at a time: 64 MB in float32


@dataclass(frozen=True)
class Span:
    """A stretch of one axis, [start, stop), that the network sees; neighbours share its first `before` and its last
    `after` pixels.
    """

    start: int
    stop: int
    before: int = 0
    after: int = 0

    def stretches(self) -> Iterator[tuple[int, int, int]]:
        """Start, stop and number of windows of what this span completes: what it shares with the one before, which is
        two windows', and its own.
        """
        own = self.start + self.before
        if self.before:
            yield self.start, own, 2
        yield own, self.stop - self.after, 1


@dataclass(frozen=True)
class Block:
    """Logits of a part of an image at full resolution: float32 [C, rows, columns]."""

    rows: slice
    columns: slice
    logits: Tensor


def windows(length: int, longest: int, overlap: int) -> list[Span]:
    """Cut an axis into the fewest spans, of one length of at most `longest`, that overlap by `overlap` or a little
    more; `longest` is at least three times that.
    """
    if length <= longest:
        return [Span(0, length)]
    count = math.ceil((length - overlap) / (longest - overlap))
    size = math.ceil((length + (count - 1) * overlap) / count)
    starts = [round(index * (length - size) / (count - 1)) for index in range(count)]
    shared = [0, *(start + size - following for start, following in pairwise(starts)), 0]
    return [Span(start, start + size, *shared[index : index + 2]) for index, start in enumerate(starts)]


def spans(height: int, width: int, scale: float, pixel_budget: int) -> tuple[list[Span], list[Span]]:
    """The rows and the columns of the windows of an image; one each where the budget holds it."""
    scaled_height, scaled_width = scaled_size(height, width, scale)
    longest = max(height, width)
    if scaled_height * scaled_width > pixel_budget:
        longest = int(math.isqrt(pixel_budget) / scale)
    overlap = min(int(_OVERLAP / scale), longest // _LEAST_WINDOW)
    return windows(height, longest, overlap), windows(width, longest, overlap)


def fade(length: int, device: torch.device | None = None) -> Tensor:
    """The weights, float32 [length], by which a window takes over from the one before: half a period of a raised
    cosine from 0 to 1. Those of the other window are what is missing to 1.
    """
    middles = (torch.arange(length, device=device) + 0.5) / length
    return (1 - torch.cos(math.pi * middles)) / 2


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
    Above, it sees windows that overlap; there, logits are means of two or four windows, whose weights fade.
    """
    rows, columns = spans(image.shape[0], image.shape[1], scale, pixel_budget)
    above: list[_Window] = []
    for vertical in rows:
        row: list[_Window] = []
        for column, horizontal in enumerate(columns):
            pixels = image[vertical.start : vertical.stop, horizontal.start : horizontal.stop]
            row.append(_Window(_coarse_logits(runtime, pixels, scale, tta), vertical, horizontal))
            nearby = slice(max(column - 1, 0), column + 1)
            yield from _completed_blocks([above[nearby], row[nearby]])
            if column:
                row[column - 1] = row[column - 1].foot()
        above = [*row[:-1], row[-1].foot()]


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
    *,
    temperature: float = 1.0,
    unsure: float = 0.0,
) -> None:
    """Fill a mask, uint8 [H, W], with the argmax of logits, probabilities, float32 or float16 [C, H, W], with the
    softmax of logits divided by a temperature, and a confidence, uint8 [H, W], with the highest of them, 255 times.
    Pixels whose highest probability is below `unsure` become 255 in the mask.
    """
    for block in blocks:
        if mask is not None:
            classes = block.logits.argmax(0).to(torch.uint8)
            if unsure:
                classes[_highest_probability(block.logits, temperature) < unsure] = IGNORE
            mask[block.rows, block.columns] = classes.cpu().numpy()
        if probabilities is not None:
            probabilities[:, block.rows, block.columns] = _softmax(block.logits, temperature, probabilities.dtype)
        if confidence is not None:
            highest = _highest_probability(block.logits, temperature)
            confidence[block.rows, block.columns] = (255 * highest).round().to(torch.uint8).cpu().numpy()


def _highest_probability(logits: Tensor, temperature: float) -> Tensor:
    """Of the softmax of logits [C, H, W] divided by a temperature: float32 [H, W]."""
    return 1 / ((logits - logits.amax(0)) / temperature).exp().sum(0)


def _softmax(logits: Tensor, temperature: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The softmax of logits [C, H, W] divided by a temperature, rounded to a dtype, with the same argmax: the winner of
    a tie is raised.
    """
    winners = logits.argmax(0)
    rounded = (logits / temperature).softmax(0).to(torch.float16 if dtype == np.float16 else torch.float32)
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


@dataclass(frozen=True)
class _Window:
    """Coarse logits of a window, [1, C, h, w]: one map, or several to average; `missing` rows are cut off their top."""

    coarse: Sequence[Tensor]
    vertical: Span
    horizontal: Span
    missing: int = 0

    def logits(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """Logits of a part of the image that lies in the window, at full resolution: [C, rows, columns]."""
        height, width = self.vertical.stop - self.vertical.start, self.horizontal.stop - self.horizontal.start
        first, last = top - self.vertical.start, bottom - self.vertical.start
        rows = [resized_rows(one, height, width, first, last, self.missing) for one in self.coarse]
        logits = rows[0] if len(rows) == 1 else torch.cat(rows).log_softmax(1).logsumexp(0, True) - math.log(len(rows))
        return logits[0, :, :, left - self.horizontal.start : right - self.horizontal.start]

    def foot(self) -> "_Window":
        """The same without the memory of rows that the windows below do not share."""
        height = self.vertical.stop - self.vertical.start
        last = self.coarse[0].shape[2] + self.missing - 1
        first = (height - self.vertical.after) * last // max(height - 1, 1)
        missing = max(min(first, last) - 1, self.missing)  # one row more, since positions are rounded
        return replace(
            self, coarse=[one[:, :, missing - self.missing :].clone() for one in self.coarse], missing=missing
        )


def _completed_blocks(windows: Sequence[Sequence[_Window]]) -> Iterator[Block]:
    """Blocks of what the last window of the last row completes; before it are those left of and above it, if any."""
    last = windows[-1][-1]
    for (top, bottom, rows), (left, right, columns) in product(last.vertical.stretches(), last.horizontal.stretches()):
        sharing = [row[-columns:] for row in windows[-rows:]]
        downwards, rightwards = (fade(length, last.coarse[0].device) for length in (bottom - top, right - left))
        values = len(last.coarse) * last.coarse[0].shape[1] * (last.horizontal.stop - last.horizontal.start)
        band = max(_BAND_VALUES // (values * rows * columns), 1)
        for start in range(top, bottom, band):
            stop = min(start + band, bottom)
            lines = [_blend([window.logits(start, stop, left, right) for window in row], rightwards) for row in sharing]
            yield Block(
                slice(start, stop), slice(left, right), _blend(lines, downwards[start - top : stop - top, None])
            )


def _blend(parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """One part as it is; of two the mean, the second with `weights`."""
    return parts[0] if len(parts) == 1 else torch.lerp(parts[0], parts[1], weights)


def resized_rows(coarse: Tensor, height: int, width: int, top: int, bottom: int, missing: int = 0) -> Tensor:
    """Return rows [top, bottom) of `resize(coarse, (height, width))` without computing the others, nor needing the
    first `missing` ones of `coarse`, which are cut off.

    float [B, C, h, w] becomes [B, C, bottom - top, width]; bilinear, corners aligned.
    """
    last = coarse.shape[2] + missing - 1
    rows = torch.arange(top, bottom, device=coarse.device, dtype=coarse.dtype)
    position = rows * (last / max(height - 1, 1))
    upper = position.floor().clamp(max=last)
    share = (position - upper)[:, None]
    index = upper.long() - missing
    between = coarse[:, :, index] * (1 - share) + coarse[:, :, (index + 1).clamp(max=last - missing)] * share
    return resize(between, (bottom - top, width))
