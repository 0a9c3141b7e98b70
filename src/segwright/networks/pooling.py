"""Average pooling and resizing of feature maps, exact at any size and exportable with dynamic sizes.

``torch.nn.functional.adaptive_avg_pool2d`` computes its windows in Python while it is traced, so an exported graph is
silently wrong at every other size. Here they are two small matrices computed from the shape inside the graph.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def adaptive_average_pool(maps: Tensor, bins: int) -> Tensor:
    """Average float maps [B, C, H, W] over ``bins`` x ``bins`` windows: [B, C, bins, bins].

    Window i of n pixels extends from floor(i n / bins) to ceil((i + 1) n / bins), so windows may overlap, exactly as in
    ``torch.nn.functional.adaptive_avg_pool2d`` and in MXNet.
    """
    rows, columns = (pooling_matrix(length, bins, maps) for length in maps.shape[-2:])
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
    """Resize float maps [B, C, h, w] to ``size`` = (H, W), bilinearly, corner pixels' centres on each other.

    That is GluonCV's ``contrib.BilinearResize2D``. Every resize of the networks is this one.
    """
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)
