"""Two ways to change the size of feature maps, both exact at any size and both exportable with dynamic sizes.

``torch.nn.functional.adaptive_avg_pool2d`` computes its windows in Python while it is traced, so an exported
graph keeps the windows of the traced size and is silently wrong at every other one. Here the windows are two
small matrices computed from the shape inside the graph. This module knows nothing of networks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def adaptive_average_pool(maps: Tensor, bins: int) -> Tensor:
    """Average float maps [B, C, H, W] over ``bins`` x ``bins`` windows: [B, C, bins, bins].

    Window i of n pixels reaches from floor(i n / bins) to ceil((i + 1) n / bins), so windows may overlap and
    may be as small as one pixel, exactly as in ``torch.nn.functional.adaptive_avg_pool2d`` and in MXNet.
    """
    height, width = maps.shape[-2:]
    rows = pooling_matrix(height, bins, maps)
    columns = pooling_matrix(width, bins, maps)
    # channels last, the networks' memory format, where neither product has to copy the maps
    by_column = columns @ maps.permute(0, 2, 3, 1)
    by_both = rows @ by_column.transpose(1, 2)
    return by_both.permute(0, 3, 2, 1)


def pooling_matrix(length: int, bins: int, like: Tensor) -> Tensor:
    """Matrix [bins, length] whose row i holds 1/n at the n pixels of window i, as ``like``'s dtype."""
    window = torch.arange(bins, device=like.device).unsqueeze(1)
    pixel = torch.arange(length, device=like.device).unsqueeze(0)
    start = torch.div(window * length, bins, rounding_mode="floor")
    stop = torch.div((window + 1) * length + (bins - 1), bins, rounding_mode="floor")
    inside = ((pixel >= start) & (pixel < stop)).to(like.dtype)
    return inside / (stop - start).to(like.dtype)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize float maps [B, C, h, w] to ``size`` = (H, W), bilinearly, the corner pixels' centres on each
    other.

    Output pixel i of m samples the input of n pixels at i (n - 1) / (m - 1), and at 0 where m is 1: GluonCV's
    ``contrib.BilinearResize2D``, PyTorch's ``align_corners=True``. Every resize of the networks goes through
    here.
    """
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)
