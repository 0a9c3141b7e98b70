"""PyTorch as the runtime: on every device, and exact in float32."""

from typing import Final

import torch
from torch import Tensor

from segwright.networks import SegmentationNetwork


class PyTorchRuntime:
    """A network in evaluation mode, as it lies on its device, with autocast to a number format."""

    name: Final = "PyTorch"

    def __init__(self, network: SegmentationNetwork, precision: torch.dtype = torch.float32) -> None:
        self.network, self._dtype = network, precision

    @property
    def precision(self) -> str:
        """As for all runtimes."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.device

    @torch.inference_mode()
    def coarse_logits(self, pixels: Tensor) -> Tensor:
        """As for all runtimes."""
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            return self.network.coarse_logits(pixels).float()
