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
    the backbone could do. ``auxiliary`` adds the auxiliary head. ``bands``, ``bit_depth`` and ``numbers`` describe the
    images as files hold them: unsigned whole numbers, signed ones, or floating-point ones, whose ``bit_depth`` is 32.
    ``upright`` says that pictures are turned as their camera noted (EXIF) before the network sees them. ``mean`` and
    ``std``, one number a band, normalise unsigned values of 8 and 16 bits scaled to 0...1, all others as they are;
    ``None`` stands for those of the backbone's pretrained weights. ``decoder_output_stride`` adds a decoder that
    refines the head's features down to that stride; ``None`` is the original's head.
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
    numbers: Literal["uint", "int", "float"] = "uint"
    decoder_output_stride: int | None = None

    @property
    def takes_floats(self) -> bool:
        """Whether pixels come as float32, with NaN for no data; unsigned ones of 8 and 16 bits come as integers."""
        return self.numbers != "uint" or self.bit_depth > 16

    @property
    def scale(self) -> int:
        """What stands for 1 in ``mean`` and ``std``: the largest value of integer pixels, else 1."""
        return 1 if self.takes_floats else int(2**self.bit_depth - 1)
