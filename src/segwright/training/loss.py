"""What training minimises: softmax cross-entropy over labelled pixels, of both heads, and how it is scaled."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.networks import SegmentationNetwork

_RAREST_SHARE: Final = 1e-4
_LOGIT_ADJUSTMENT: Final = 0.5  # the part of what class weights do to the logits; benchmarks/README.md has the figures


class LossModule(nn.Module):
    """A network and the losses of its heads as one module, so that gradients can be averaged around both.

    The sums are not divided here: only the caller knows the labelled pixels of the whole batch, over all processes.
    """

    _weights: Tensor | None

    def __init__(self, network: SegmentationNetwork, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("_weights", class_weights, persistent=False)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Sum the loss over the labelled pixels, for the main and the auxiliary head (0 without one): float32 [2].

        Images are [B, bands, H, W] as in files, masks int64 [B, H, W] with 255 = ignore.
        """
        main, auxiliary = self.network.forward_with_auxiliary(images)
        loss = pixel_loss(main, masks, self._weights)
        if auxiliary is None:
            return torch.stack([loss, torch.zeros_like(loss)])
        return torch.stack([loss, pixel_loss(auxiliary, masks, self._weights)])


def pixel_loss(logits: Tensor, masks: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Sum softmax cross-entropy over the pixels whose label is not 255, in float32, each times its class's weight.

    Logits are float [B, C, H, W], masks int64 [B, H, W], weights float32 [C]. A class of weight w ends with logits
    larger by log w, and is then predicted where it is not; half of that is added here, so that the network itself
    learns without it.

    Source of the addition: Menon et al., "Long-tail learning via logit adjustment", 2021, equation 10.
    """
    logits = logits.float()
    if class_weights is not None:
        logits = logits + _LOGIT_ADJUSTMENT * class_weights.log()[:, None, None]
    return F.cross_entropy(logits, masks, class_weights, ignore_index=IGNORE, reduction="sum")


def balancing_weights(histogram: NDArray[np.int64]) -> Tensor:
    """Weigh classes by one over the square root of their share of labelled pixels, [C]; float32 [C].

    The mean weight of a labelled pixel is 1, so that the loss keeps its scale. A class counts as no rarer than one
    pixel in 10,000, or a few wrong labels would dominate a training.
    """
    total = max(histogram.sum(), 1)
    weights = np.maximum(histogram / total, _RAREST_SHARE) ** -0.5
    return torch.from_numpy(weights / ((weights * histogram).sum() / total)).float()


def prior_bias(histogram: NDArray[np.int64], class_weights: Tensor | None = None) -> Tensor:
    """The constant logits with the least `pixel_loss` where classes have so many labelled pixels, [C]; float32 [C].

    A classifier that starts from them need not first learn that a rare class is rare, with all its weights, and only
    then what it looks like. Source: Lin et al., "Focal loss for dense object detection", 2017, section 3.3.
    """
    shares = np.maximum(histogram / max(histogram.sum(), 1), _RAREST_SHARE)
    bias = torch.from_numpy(shares).float().log()
    return bias if class_weights is None else bias + (1 - _LOGIT_ADJUSTMENT) * class_weights.log()


@dataclass(frozen=True)
class LossScale:
    """Factors of the main and the auxiliary head's sum; both products add up over processes."""

    gradient: tuple[float, float]
    figure: tuple[float, float]  # for the loss that is logged
    pixels: int  # what the logged loss is the mean over


def loss_scale(settings: Hyperparameters, own_labelled: int, labelled: int, pixels: int) -> LossScale:
    """Scale the loss of a process that holds `own_labelled` of the `labelled` pixels among all `pixels` of a batch.

    mean: gradient and figure are those of the mean over the labelled pixels of the global batch, the auxiliary
    head's times `aux_weight`. gluoncv: the gradient is that of the mean over the labelled pixels of each process
    (device) by itself, the auxiliary head's at full weight whatever `aux_weight` is, divided by `mini_batch_size`
    once more; the figure is the mean over all pixels, to which ignored ones add 0, with `aux_weight`.

    Source of gluoncv: its `MixSoftmaxCrossEntropyLoss` and `Trainer.step`.
    """
    gluoncv = settings.update_rule == "gluoncv"
    counted = pixels if gluoncv else labelled
    mean = 1 / max(counted, 1)
    figure = (mean, settings.aux_weight * mean)
    step = 1 / (max(own_labelled, 1) * settings.mini_batch_size)
    return LossScale((step, step) if gluoncv else figure, figure, counted)
