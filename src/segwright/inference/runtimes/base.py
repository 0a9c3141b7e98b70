"""What all runtimes have in common."""

from typing import Protocol

import torch
from torch import Tensor


class Runtime(Protocol):
    """Computes one network on one device, in one number format; several threads may call it at a time."""

    @property
    def name(self) -> str:
        """The library that computes, as its makers write it."""

    @property
    def precision(self) -> str:
        """The number format: float32, bfloat16, float16 or int8."""

    @property
    def device(self) -> torch.device:
        """Where the pixels have to be."""

    def coarse_logits(self, pixels: Tensor) -> Tensor:
        """The logits that are resized to an image's size, float32 [B, C, h, w], of plain pixels [B, bands, H, W] of the
        network's type, as `SegmentationNetwork.coarse_logits`.
        """
