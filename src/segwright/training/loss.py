"""What training minimises, in both heads: losses of pixels and of regions, and how they are scaled."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segwright.checks.prepare import CheckedData
from segwright.errors import HyperparameterError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.networks import SegmentationNetwork
from segwright.training.region_losses import dice_loss, lovasz_loss
from segwright.wording import counted, listed

_RAREST_SHARE: Final = 1e-4
_LOGIT_ADJUSTMENT: Final = 0.5  # the part of what class weights do to the logits; benchmarks/README.md has the figures
_EASY: Final = 0.7  # the probability of its class from which on OHEM leaves a pixel out
_KEPT: Final = 16  # but it keeps one pixel of so many
_FOCUS: Final = 2.0  # gamma of the focal loss


class LossModule(nn.Module):
    """A network and the losses of its heads as one module, so that gradients can be averaged around both.

    The sums are not divided here: only the caller knows the labelled pixels of the whole batch, over all processes.
    """

    _weights: Tensor | None

    def __init__(
        self, network: SegmentationNetwork, loss: str = "cross-entropy", class_weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.register_buffer("_weights", class_weights, persistent=False)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Sum the loss over the labelled pixels, for the main and the auxiliary head (0 without one): float32 [2].

        Images are [B, bands, H, W] as in files, masks int64 [B, H, W] with 255 = ignore.
        """
        main, auxiliary = self.network.forward_with_auxiliary(images)
        loss = head_loss(self.loss, main, masks, self._weights)
        if auxiliary is None:
            return torch.stack([loss, torch.zeros_like(loss)])
        return torch.stack([loss, head_loss(self.loss, auxiliary, masks, self._weights)])


def head_loss(loss: str, logits: Tensor, masks: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Compute the loss that hyperparameter `loss` names, summed over the labelled pixels; float32 [].

    Logits are float [B, C, H, W], masks int64 [B, H, W] with 255 = ignore, weights float32 [C]. A loss that is no sum
    over pixels is multiplied by their number: divided by the labelled pixels of several parts of a batch, the sums of
    all parts are the mean over parts, each counted by its labelled pixels.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    for name in loss.split("+"):
        if name in _REGION_LOSSES:
            total = total + _REGION_LOSSES[name](logits, masks)
        else:
            total = total + _PIXEL_LOSSES[name](logits, masks, class_weights)
    return total


def cross_entropy_loss(logits: Tensor, masks: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Sum softmax cross-entropy over the pixels whose label is not 255, in float32, each times its class's weight.

    Logits are float [B, C, H, W], masks int64 [B, H, W], weights float32 [C]. A class of weight w ends with logits
    larger by log w, and is then predicted where it is not; half of that is added here, so that the network itself
    learns without it.

    Source of the addition: Menon et al., "Long-tail learning via logit adjustment", 2021, equation 10.
    """
    return F.cross_entropy(_adjusted(logits, class_weights), masks, class_weights, ignore_index=IGNORE, reduction="sum")


def ohem_loss(logits: Tensor, masks: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy as its mean over hard pixels, times the labelled pixels; arguments are as in `cross_entropy_loss`.

    Hard are pixels whose class has a probability below 0.7, and in any case the hardest sixteenth of the labelled ones.

    Source: Shrivastava et al., "Training region-based object detectors with online hard example mining", 2016; the
    selection is that of MMSegmentation's `OHEMPixelSampler`, the share and the mean those of BiSeNet's training.
    """
    losses, weights = _by_pixel(logits, masks, class_weights)
    with torch.no_grad():
        labelled = (masks != IGNORE).sum()
        kept = (labelled + _KEPT - 1) // _KEPT
        hardest = losses.flatten().topk(-(-losses.numel() // _KEPT)).values  # of all pixels: ignored ones have 0
        threshold = hardest.gather(0, (kept - 1).clamp(min=0).view(1)).clamp(max=-math.log(_EASY))
        hard = (losses >= threshold) & (losses > 0)
    return (losses * weights * hard).sum() / torch.maximum(hard.sum(), kept).clamp(min=1) * labelled


def focal_loss(logits: Tensor, masks: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Sum cross-entropy, each pixel's times the square of the probability that its class lacks; arguments are as in
    `cross_entropy_loss`.

    Source: Lin et al., "Focal loss for dense object detection", 2017, equation 5 with gamma 2 and softmax.
    """
    losses, weights = _by_pixel(logits, masks, class_weights)
    return (losses * weights * (-torch.expm1(-losses)) ** _FOCUS).sum()


_PIXEL_LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]]] = {
    "cross-entropy": cross_entropy_loss,
    "ohem": ohem_loss,
    "focal": focal_loss,
}
_REGION_LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {"dice": dice_loss, "lovasz": lovasz_loss}


def _adjusted(logits: Tensor, class_weights: Tensor | None) -> Tensor:
    """Logits as float32, plus what class weights add to them."""
    logits = logits.float()
    return logits if class_weights is None else logits + _LOGIT_ADJUSTMENT * class_weights.log()[:, None, None]


def _by_pixel(logits: Tensor, masks: Tensor, class_weights: Tensor | None) -> tuple[Tensor, Tensor | float]:
    """Cross-entropy of each pixel without weights, 0 where ignored, and its weight: float32 [B, H, W]."""
    losses = F.cross_entropy(_adjusted(logits, class_weights), masks, ignore_index=IGNORE, reduction="none")
    return losses, 1.0 if class_weights is None else class_weights[masks.clamp(max=len(class_weights) - 1)]


def class_weights(settings: Hyperparameters, data: CheckedData) -> Tensor | None:
    """What `class_weights` says of the classes in data: float32 [C], or None where all weigh the same.

    Raises HyperparameterError for a list of another length, UserError for `auto` on a stream.
    """
    if settings.class_weights == "none":
        return None
    if settings.class_weights != "auto":
        if len(settings.class_weights) != data.num_classes:
            raise HyperparameterError(
                f"class_weights has {counted(len(settings.class_weights), 'number')}, but there are {data.num_classes} "
                f"classes: give one for each, in the order {listed(data.class_names, 20)}.",
                name="class_weights",
                value=settings.class_weights,
            )
        return torch.tensor(settings.class_weights)
    if not data.train.complete:
        raise UserError(
            "class_weights auto needs the pixels of all masks counted, which a stream does not allow: leave it none, "
            "give a list of numbers, or give the manifest itself in place of Pipe mode."
        )
    return balancing_weights(data.train.histogram)


def balancing_weights(histogram: NDArray[np.int64]) -> Tensor:
    """Weigh classes by one over the square root of their share of labelled pixels, [C]; float32 [C].

    The mean weight of a labelled pixel is 1, so that the loss keeps its scale. A class counts as no rarer than one
    pixel in 10,000, or a few wrong labels would dominate a training.
    """
    total = histogram.sum()
    if not total:
        return torch.ones(len(histogram))
    weights = np.maximum(histogram / total, _RAREST_SHARE) ** -0.5
    return torch.from_numpy(weights / ((weights * histogram).sum() / total)).float()


def prior_bias(histogram: NDArray[np.int64], class_weights: Tensor | None = None) -> Tensor:
    """The constant logits of least `cross_entropy_loss` where classes have so many labelled pixels, [C]; float32 [C].

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
    divisor = pixels if gluoncv else labelled
    mean = 1 / max(divisor, 1)
    figure = (mean, settings.aux_weight * mean)
    step = 1 / (max(own_labelled, 1) * settings.mini_batch_size)
    return LossScale((step, step) if gluoncv else figure, figure, divisor)
