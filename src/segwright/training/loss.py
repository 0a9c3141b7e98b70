"""What training minimises: softmax cross-entropy summed over labelled pixels, with an auxiliary term."""

import torch.nn.functional as F
from torch import Tensor, nn

from segwright.labels import IGNORE
from segwright.networks import SegmentationNetwork


class SummedLoss(nn.Module):
    """A network and its loss as one module, so that gradients can be averaged around both.

    The sum is not divided here: the number of labelled pixels of the whole batch, over all processes and all
    parts of it, is known only outside.
    """

    def __init__(self, network: SegmentationNetwork, auxiliary_weight: float) -> None:
        super().__init__()
        self.network, self.auxiliary_weight = network, auxiliary_weight

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Sum the loss over the labelled pixels.

        Images are uint8 [B, 3, H, W], masks int64 [B, H, W] with 255 = ignore; the result is a float32 scalar.
        """
        main, auxiliary = self.network.forward_with_auxiliary(images)
        loss = pixel_loss(main, masks)
        return loss if auxiliary is None else loss + self.auxiliary_weight * pixel_loss(auxiliary, masks)


def pixel_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Sum softmax cross-entropy over the pixels whose label is not 255, in float32.

    Logits are float [B, C, H, W], masks int64 [B, H, W]. Ignored pixels touch neither value nor gradient.
    """
    return F.cross_entropy(logits.float(), masks, ignore_index=IGNORE, reduction="sum")
