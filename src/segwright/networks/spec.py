"""The description of a network, kept in every bundle; without PyTorch."""

from dataclasses import dataclass
from typing import Literal

from segwright.algorithms import Algorithm
from segwright.formats.pixels import PixelFormat


@dataclass(frozen=True)
class NetworkSpec:
    """All that `build_network` needs.

    ``algorithm`` names the head, which may be a decoder of segmentation_models_pytorch. ``backbone`` is ``resnet-50``,
    ``resnet-101`` or a timm name. ``output_stride`` is the input's size over the feature map's; in a built network's
    own spec it is what the backbone could do. ``auxiliary`` adds the auxiliary head. ``decoder_output_stride`` adds a
    decoder that refines the head's features down to that stride; without one the head is GluonCV's. ``bands``,
    ``bit_depth`` and ``numbers`` describe images as files hold them: unsigned, signed, or floating-point numbers, whose
    ``bit_depth`` is 32. ``upright``: images are turned by their EXIF orientation first. ``mean`` and ``std``, one
    number a band, normalise unsigned values of 8 and 16 bits scaled to 0...1, all others as they are; ``None`` means
    those of the backbone's pretrained weights.
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
    def pixel_format(self) -> PixelFormat:
        """What the pixels of images have to be."""
        return PixelFormat(self.bands, self.bit_depth, self.upright, self.numbers)

    @property
    def takes_floats(self) -> bool:
        """Whether pixels come as float32, with NaN for no data; unsigned ones of 8 and 16 bits come as integers."""
        return self.numbers != "uint" or self.bit_depth > 16

    @property
    def scale(self) -> int:
        """What stands for 1 in ``mean`` and ``std``: the largest value of integer pixels, else 1."""
        return 1 if self.takes_floats else int(2**self.bit_depth - 1)
