"""Networks: timm backbones, three heads, and the `SegmentationNetwork` that `build_network` makes of them."""

from segwright.algorithms import Algorithm
from segwright.networks.backbone import timm_name
from segwright.networks.network import SegmentationNetwork, build_network
from segwright.networks.pooling import resize
from segwright.networks.spec import NetworkSpec
from segwright.networks.weights import LIKELY_BACKBONES, check_network, fitting_backbone

__all__ = [
    "LIKELY_BACKBONES",
    "Algorithm",
    "NetworkSpec",
    "SegmentationNetwork",
    "build_network",
    "check_network",
    "fitting_backbone",
    "resize",
    "timm_name",
]
