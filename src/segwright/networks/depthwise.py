"""Depthwise convolutions that train fast on a CPU, with the values of ordinary ones.

oneDNN has no fast kernels for dilated depthwise convolutions, and computes the gradient of the weights slower in
bfloat16 than in float32. So, on a CPU, a convolution of dilation d is computed as an ordinary one on the d x d
interleaved images that hold every d-th pixel, and weights get their gradient in float32. At output stride 8 that nearly
halves the time of a step in bfloat16 (benchmarks/README.md).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def with_fast_depthwise(features: nn.Module) -> nn.Module:
    """Make the depthwise convolutions of stride 1 and even padding `DepthwiseConv2d`, in place."""
    for module in features.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = DepthwiseConv2d
    return features


def _fits(plain: nn.Conv2d) -> bool:
    dilation = plain.dilation[0]
    return (
        plain.groups == plain.in_channels == plain.out_channels > 1
        and plain.stride == (1, 1)
        and plain.dilation == (dilation, dilation)
        and plain.padding_mode == "zeros"
        and all(length % 2 == 1 for length in plain.kernel_size)
        and plain.padding == tuple(dilation * (length // 2) for length in plain.kernel_size)
    )


class DepthwiseConv2d(nn.Conv2d):
    """An `nn.Conv2d` that `with_fast_depthwise` made faster on a CPU; elsewhere, and exported, it is a plain one."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, H, W] to maps of the same shape."""
        if input.device.type != "cpu" or torch.compiler.is_exporting():
            return super().forward(input)
        if torch.is_autocast_enabled("cpu"):
            input = input.to(torch.get_autocast_dtype("cpu"))
        dilation = self.dilation[0]
        split = input if dilation == 1 else _split(input, dilation)
        maps: Tensor = _Depthwise.apply(split, self.weight)  # type: ignore[no-untyped-call]
        maps = maps if dilation == 1 else _join(maps, dilation, input.shape)
        return maps if self.bias is None else maps + self.bias.to(maps.dtype).view(1, -1, 1, 1)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of dilation 1 that keeps the size; the weights' gradient is computed in float32."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(maps, weight)
        return F.conv2d(maps, weight.to(maps.dtype), padding="same", groups=maps.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        maps, weight = ctx.saved_tensors
        needs_maps, needs_weight = ctx.needs_input_grad
        of_maps = _gradients(slope, maps, weight.to(slope.dtype), [True, False, False])[0] if needs_maps else None
        wide = slope.float(), maps.float(), weight.float()
        of_weight = _gradients(*wide, [False, True, False])[1] if needs_weight else None
        return of_maps, of_weight


def _gradients(slope: Tensor, maps: Tensor, weight: Tensor, mask: list[bool]) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of maps, weight and bias, where the mask is True."""
    padding = [length // 2 for length in weight.shape[2:]]
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        slope, maps, weight, None, [1, 1], padding, [1, 1], False, [0, 0], maps.shape[1], mask
    )
    return gradients


def _split(maps: Tensor, every: int) -> Tensor:
    """[B, C, H, W] to [B every every, C, ceil(H / every), ceil(W / every)]: pixels that are `every` apart together."""
    batch, channels, height, width = maps.shape
    maps = F.pad(maps, (0, -width % every, 0, -height % every))
    rows, columns = maps.shape[2] // every, maps.shape[3] // every
    pixels = maps.permute(0, 2, 3, 1).reshape(batch, rows, every, columns, every, channels)
    split = pixels.permute(0, 2, 4, 1, 3, 5).reshape(batch * every * every, rows, columns, channels)
    return split.permute(0, 3, 1, 2)


def _join(maps: Tensor, every: int, shape: torch.Size) -> Tensor:
    """Undo `_split` of maps that had `shape`."""
    batch, channels, height, width = shape
    rows, columns = maps.shape[2:]
    pixels = maps.permute(0, 2, 3, 1).reshape(batch, every, every, rows, columns, channels)
    joined = pixels.permute(0, 3, 1, 4, 2, 5).reshape(batch, rows * every, columns * every, channels)
    return joined[:, :height, :width].permute(0, 3, 1, 2)
