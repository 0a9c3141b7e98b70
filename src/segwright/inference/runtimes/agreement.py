"""Whether a runtime computes what PyTorch does in float32."""

import math
from typing import Final

from torch import Tensor

from segwright.inference.runtimes.base import Runtime
from segwright.inference.runtimes.timing import draw
from segwright.networks import NetworkSpec

_SIZES: Final = (64, 33)  # pixels a side


def difference(logits: Tensor, expected: Tensor) -> float:
    """How far logits are from others of the same shape, as a share of the largest of those; infinite where one is no
    finite number.
    """
    share = float((logits - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
    return share if math.isfinite(share) else math.inf


def difference_here(runtime: Runtime, exact: Runtime, spec: NetworkSpec) -> float:
    """The largest difference of two runtimes' logits for images that are drawn; infinite for other shapes."""
    largest = 0.0
    for size in _SIZES:
        pixels = draw(spec, size, exact.device)
        expected, found = exact.coarse_logits(pixels), runtime.coarse_logits(pixels)
        largest = max(largest, difference(found, expected) if found.shape == expected.shape else math.inf)
    return largest
