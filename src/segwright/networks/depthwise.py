"""Depthwise convolutions that train fast on a CPU, with the values of ordinary ones.

oneDNN has no fast kernels for dilated depthwise convolutions, and computes the gradient of the weights, and with a
stride that of the maps, slower in bfloat16 than in float32. So, on a CPU, a convolution of dilation d is computed as an
ordinary one on the d x d interleaved images that hold every d-th pixel, and those gradients in float32. At output
stride 8 that nearly halves the time of a step in bfloat16 (benchmarks/README.md).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from segwright.networks.timm_import import timm

_LAYERS: Any = timm.layers


def with_fast_depthwise(features: nn.Module) -> nn.Module:
    """Make depthwise convolutions `DepthwiseConv2d` and `StridedDepthwiseConv2d`, in place."""
    for module in features.modules():
        if not isinstance(module, nn.Conv2d) or not module.groups == module.in_channels == module.out_channels > 1:
            continue
        if type(module) is nn.Conv2d and _keeps_size(module):
            module.__class__ = DepthwiseConv2d
        elif type(module) is _LAYERS.Conv2dSame and module.stride != (1, 1) and module.dilation == (1, 1):
            module.__class__ = StridedDepthwiseConv2d
    return features


def _keeps_size(plain: nn.Conv2d) -> bool:
    dilation = plain.dilation[0]
    return (
        plain.stride == (1, 1)
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
        around = [length // 2 for length in self.kernel_size]
        maps: Tensor = _Depthwise.apply(split, self.weight, (1, 1), around)  # type: ignore[no-untyped-call]
        maps = maps if dilation == 1 else _join(maps, dilation, input.shape)
        return maps if self.bias is None else maps + self.bias.to(maps.dtype).view(1, -1, 1, 1)


class StridedDepthwiseConv2d(_LAYERS.Conv2dSame):  # type: ignore[misc]
    """A `Conv2dSame`, TensorFlow's padding, that `with_fast_depthwise` made faster on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, H, W] to maps [B, C, ceil(H / stride), ceil(W / stride)]."""
        if x.device.type != "cpu" or torch.compiler.is_exporting():
            maps: Tensor = super().forward(x)
            return maps
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        padded = _LAYERS.pad_same(x, self.kernel_size, self.stride)
        maps = _Depthwise.apply(padded, self.weight, self.stride, (0, 0))  # type: ignore[no-untyped-call]
        return maps if self.bias is None else maps + self.bias.to(maps.dtype).view(1, -1, 1, 1)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of dilation 1; the weights' gradient is computed in float32, with a stride the other."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.geometry = stride, padding
        return F.conv2d(maps, weight.to(maps.dtype), None, stride, padding, groups=maps.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        maps, weight = ctx.saved_tensors
        needs_maps, needs_weight = ctx.needs_input_grad[:2]
        stride, padding = ctx.geometry
        strided = max(stride) > 1
        of_maps = of_weight = None
        wide = slope.float(), maps.float(), weight.float()
        if needs_maps:
            sources = wide if strided else (slope, maps, weight.to(slope.dtype))
            of_maps = _gradients(*sources, stride, padding, [True, False, False])[0].to(maps.dtype)
        if needs_weight:
            of_weight = _gradients(*wide, stride, padding, [False, True, False])[1]
        return of_maps, of_weight, None, None


def _gradients(
    slope: Tensor, maps: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], mask: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of maps, weight and bias, where the mask is True."""
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        slope, maps, weight, None, stride, padding, [1, 1], False, [0, 0], maps.shape[1], mask
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
