"""Training steps of a network with depthwise convolutions on the CPU, plain ones and `segwright.networks.depthwise`.

python benchmarks/depthwise.py

Both take turns in one process, on the same network, crops and weights.
"""

import statistics
import time
from typing import Final

import torch
from torch import nn

from segwright.networks import Algorithm, NetworkSpec, build_network
from segwright.networks.depthwise import DepthwiseConv2d
from segwright.resources import keep_freed_memory
from segwright.training.loss import LossModule

ROUNDS: Final = 5
CASES: Final[tuple[tuple[Algorithm, int], ...]] = (("psp", 8), ("deeplab", 16))
FAST: Final = DepthwiseConv2d.forward


def seconds(losses: LossModule, crop: int, precision: torch.dtype) -> float:
    """The time of one step, forward and backward, of eight crops."""
    images = torch.randint(0, 256, (8, 3, crop, crop), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(0, 11, (8, crop, crop))
    start = time.monotonic()
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        total = losses(images, masks).sum()
    total.backward()
    return time.monotonic() - start


def compare(algorithm: Algorithm, output_stride: int, precision: torch.dtype, crop: int = 256) -> None:
    """Measure both turn by turn and print medians and the median ratio."""
    torch.manual_seed(0)
    spec = NetworkSpec(algorithm, "tf_efficientnet_lite0", num_classes=11, output_stride=output_stride)
    losses = LossModule(build_network(spec).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    times: dict[str, list[float]] = {"plain": [], "fast": []}
    for _ in range(ROUNDS + 1):
        for way, forward in (("plain", nn.Conv2d.forward), ("fast", FAST)):
            DepthwiseConv2d.forward = forward  # type: ignore[method-assign]
            times[way].append(seconds(losses, crop, precision))
    plain, fast = times["plain"][1:], times["fast"][1:]  # the first round warms up
    ratio = statistics.median(one / other for one, other in zip(plain, fast, strict=True))
    print(
        f"{algorithm}, output stride {output_stride}, {str(precision).removeprefix('torch.')}: "
        f"plain {statistics.median(plain):.2f} s, fast {statistics.median(fast):.2f} s a step: {ratio:.2f} times",
        flush=True,
    )


def main() -> None:
    """Compare all cases."""
    keep_freed_memory()
    for algorithm, output_stride in CASES:
        for precision in (torch.float32, torch.bfloat16):
            compare(algorithm, output_stride, precision)


if __name__ == "__main__":
    main()
