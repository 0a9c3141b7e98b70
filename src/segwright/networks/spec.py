"""What has to be known to build a network: a frozen record, kept in every bundle.

It knows no PyTorch and builds nothing.
"""

from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["fcn", "psp", "deeplab"]


@dataclass(frozen=True)
class NetworkSpec:
    """The description of a segmentation network.

    ``algorithm`` names the head. ``backbone`` is the name as the user gave it: ``resnet-50``, ``resnet-101`` or a
    timm name. ``output_stride`` is the wanted input size over feature-map size; a built network's own spec holds what
    the backbone could do. ``auxiliary`` adds the auxiliary head. ``bands`` and ``bit_depth`` describe the images:
    values run from 0 to 2**bit_depth - 1. ``upright`` says that pictures are turned as their camera noted (EXIF)
    before the network sees them. ``mean`` and ``std``, one number a band, normalise values scaled to 0...1; ``None``
    stands for those of the backbone's pretrained weights.
    """

    algorithm: Algorithm
    backbone: str
    num_classes: int
    output_stride: int = 8
    auxiliary: bool = True
    bands: int = 3
    bit_depth: int = 8
    upright: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def largest_value(self) -> int:
        """The largest value that a pixel of ``bit_depth`` bits can have."""
        return int(2**self.bit_depth - 1)
