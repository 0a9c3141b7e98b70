"""The segmentation network: pixels to class logits. Normalisation is part of it, so exported graphs take pixels too."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from segwright.algorithms import check_decoder_stride, is_smp
from segwright.networks.backbone import Backbone, plan_backbone
from segwright.networks.batch_norm import single_values_allowed
from segwright.networks.decoder import Decoder
from segwright.networks.heads import FCNHead, build_head, inner_channels
from segwright.networks.pooling import resize
from segwright.networks.smp_head import FINEST_STRIDE, SMPHead
from segwright.networks.spec import NetworkSpec
from segwright.networks.timm_import import timm
from segwright.networks.weights import load_local, load_published

logger = logging.getLogger(__name__)


class SegmentationNetwork(nn.Module):
    """FCN, PSPNet or DeepLabV3 on a backbone, as GluonCV puts them together, or a decoder of
    segmentation_models_pytorch; built by `build_network`.

    The main head takes the backbone's last stage, the auxiliary head (if any) the stage before. Images may have any
    size and memory format. ``spec`` holds the output stride and the normalisation as they are. For half precision use
    autocast, and do not convert the module: the normalisation needs float32.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, spec: NetworkSpec, backbone: Backbone) -> None:
        super().__init__()
        self.spec = _resolve(spec, backbone)
        self._single_values_logged = False
        self.backbone = backbone
        before_last, last = backbone.channels[-2:]
        stride, decoder_stride = self.spec.output_stride, spec.decoder_output_stride
        self.decoder = None
        self.head: nn.Module
        if is_smp(spec.algorithm):
            check_decoder_stride(spec.algorithm, decoder_stride)
            channels = dict(zip(backbone.strides, backbone.channels, strict=True))
            self.head = SMPHead(spec.algorithm, channels, spec.bands, spec.num_classes)
        else:
            self.head = build_head(spec.algorithm, last, spec.num_classes if decoder_stride is None else None, stride)
        if decoder_stride is not None:
            self.decoder = Decoder(
                inner_channels(spec.algorithm, last),
                dict(zip(backbone.strides[:-1], backbone.channels[:-1], strict=True)),
                spec.num_classes,
                bands=spec.bands,
                output_stride=stride,
                decoder_output_stride=decoder_stride,
            )
        self.auxiliary_head = FCNHead(before_last, spec.num_classes) if spec.auxiliary else None
        # in units of pixels; not persistent, because the spec holds them
        for name, numbers in (("_mean", self.spec.mean), ("_std", self.spec.std)):
            per_band = torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1) * self.spec.scale
            self.register_buffer(name, per_band, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._mean.device

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, bands, H, W] to the main head's logits, float32 [B, C, H, W]; exported."""
        height, width = images.shape[-2:]
        return resize(self.coarse_logits(images), (height, width))

    def coarse_logits(self, images: Tensor) -> Tensor:
        """The logits that `forward` resizes to (H, W): float32 [B, C, h, w]."""
        pixels = self.normalise(images)
        return self._main_logits(pixels, self.backbone(pixels)).float()

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """As `forward`, and the auxiliary head's logits next to the main ones; None where there is no such head."""
        pixels = self.normalise(images)
        alone = self.training and len(pixels) == 1
        with single_values_allowed(self) if alone else nullcontext(()) as norms:
            maps = self.backbone(pixels)
            main = self._main_logits(pixels, maps)
            auxiliary = self.auxiliary_head(maps[-2]) if self.auxiliary_head is not None else None
        if norms and not self._single_values_logged:
            self._single_values_logged = True
            logger.info("A batch of one leaves a BatchNorm one value per channel: it uses its running statistics.")
        size = (images.shape[-2], images.shape[-1])
        return resize(main.float(), size), None if auxiliary is None else resize(auxiliary.float(), size)

    def _main_logits(self, pixels: Tensor, maps: Sequence[Tensor]) -> Tensor:
        by_stride = dict(zip(self.backbone.strides, maps, strict=True))
        if isinstance(self.head, SMPHead):
            logits: Tensor = self.head(by_stride, (pixels.shape[-2], pixels.shape[-1]))
        else:
            logits = self.head(maps[-1])
        if self.decoder is not None:
            logits = self.decoder(logits, by_stride, pixels)
        return logits

    def normalise(self, images: Tensor) -> Tensor:
        """Images [B, bands, H, W] to float32 ones of mean 0 and deviation 1; NaN and infinity, no data, become 0."""
        if images.is_floating_point() != self.spec.takes_floats:
            expected = "floating-point" if self.spec.takes_floats else "integer"
            raise TypeError(f"the network takes {expected} pixels, not {images.dtype}, and normalises them itself")
        normalised = (images.to(torch.float32) - self._mean) / self._std
        if not self.spec.takes_floats:
            return normalised
        return torch.where(normalised.abs() < torch.inf, normalised, 0.0)  # nothing is less than NaN

    def synchronise_batch_norms(self) -> None:
        """Make every BatchNorm take its statistics over all processes of a training, which must use GPUs."""
        for name, part in list(self.named_children()):
            setattr(self, name, timm.layers.convert_sync_batchnorm(part))  # type: ignore[attr-defined, no-untyped-call]

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of heads and decoder, which start from random numbers."""
        parts = (self.head, self.decoder, self.auxiliary_head)
        return chain.from_iterable(part.parameters() for part in parts if part is not None)

    @torch.no_grad()
    def set_classifier_bias(self, bias: Tensor) -> None:
        """Give the last layer of each head a bias, [C]."""
        parameters = dict(self.named_parameters())
        for name in self.classifier_names():
            if name.endswith(".bias"):
                parameters[name].copy_(bias)

    @torch.no_grad()
    def shift_logits(self, bias: Tensor) -> None:
        """Add a bias, [C], to the logits of the main head."""
        _, name = self.classifier_names()[:2]
        dict(self.named_parameters())[name].add_(bias.to(self.device))

    def classifier_names(self) -> list[str]:
        """The names of the parameters that have a row for each class."""
        main = "head.classifier.0" if isinstance(self.head, SMPHead) else "head.block.4"
        layers = [main if self.decoder is None else "decoder.classifier.1"]
        layers += ["auxiliary_head.block.4"] if self.auxiliary_head is not None else []
        return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def build_network(spec: NetworkSpec, *, pretrained: bool | Path = False) -> SegmentationNetwork:
    """A new network in training mode.

    ``pretrained`` is where the backbone's weights come from: True for the ImageNet weights that timm publishes, the
    path of a local file, or False for random ones. Raises HyperparameterError for backbones that cannot be used and
    UserError for weights that cannot be had.
    """
    finest = FINEST_STRIDE if is_smp(spec.algorithm) else spec.decoder_output_stride
    plan, backbone = plan_backbone(spec.backbone, spec.output_stride, spec.bands, finest)
    if isinstance(pretrained, Path):
        backbone = load_local(plan, pretrained)
    elif pretrained:
        backbone = load_published(plan)
    return SegmentationNetwork(spec, backbone)


def _resolve(spec: NetworkSpec, backbone: Backbone) -> NetworkSpec:
    """The spec with the output stride and normalisation that the backbone has."""
    mean = spec.mean or _for_bands(backbone.mean, spec.bands)
    std = spec.std or _for_bands(backbone.std, spec.bands)
    if not len(mean) == len(std) == spec.bands:
        raise ValueError(f"mean {mean} and std {std} have to hold one number for each of {spec.bands} bands")
    return replace(spec, output_stride=backbone.strides[-1], mean=mean, std=std)


def _for_bands(numbers: tuple[float, ...], bands: int) -> tuple[float, ...]:
    """Statistics of red, green and blue; for other bands, their average for every band."""
    return numbers if len(numbers) == bands else (sum(numbers) / len(numbers),) * bands
