"""How long runtimes take here, on an image that is drawn."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from segwright.inference.runtimes.base import Runtime
from segwright.networks import NetworkSpec

_SIZE: Final = 256  # pixels a side
_SLOW: Final = 0.4  # seconds for that, beyond which a smaller image has to do
_TURNS: Final = 5
_SECONDS: Final = 1.0  # after which no further turn begins


def seconds_of(
    runtimes: Sequence[Runtime], spec: NetworkSpec, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds that runtimes take for one image, each its shortest of up to five, in turns.

    It takes about a second where the network is fast, and else as long as three images in each runtime.
    """
    began, pixels = clock(), draw(spec, _SIZE, runtimes[0].device)
    _run(runtimes[0], pixels)
    if clock() - began > _SLOW:
        pixels = draw(spec, _SIZE // 2, runtimes[0].device)
    for runtime in runtimes:
        _run(runtime, pixels)  # A runtime prepares itself for each size.
    seconds = [math.inf] * len(runtimes)
    for _ in range(_TURNS):
        for index, runtime in enumerate(runtimes):
            before = clock()
            _run(runtime, pixels)
            seconds[index] = min(seconds[index], clock() - before)
        if clock() - began > _SECONDS:
            break
    return seconds


def draw(spec: NetworkSpec, size: int, device: torch.device) -> Tensor:
    """A smooth image [1, bands, size, size] of a network's type, about as bright as those that it knows."""
    coarse = torch.randn(1, spec.bands, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    mean, std = (torch.tensor(numbers or [0.5]).view(1, -1, 1, 1) * spec.scale for numbers in (spec.mean, spec.std))
    values = mean + std * smooth
    if not spec.takes_floats:
        values = values.clamp(0, spec.scale)
    return torch.from_numpy(values.numpy().astype(np.dtype(spec.pixel_format.dtype))).to(device)


def _run(runtime: Runtime, pixels: Tensor) -> Tensor:
    return runtime.coarse_logits(pixels).cpu()  # which waits for a GPU
