"""The pixels over which labels lie: those that the image file stores, or those that programs show which apply EXIF."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.exif import transpose, transposed_size
from segwright.formats.images import EncodedImage
from segwright.storage import Blob

Frame = Literal["stored", "shown"]
"""Labels lie over the pixels as they are stored, or as programs show them."""

Size = tuple[int | None, ...]
"""(height, width) in pixels; None where labels do not state it."""

_TOLERANCE: Final = 1.0  # pixels by which points may lie outside their image


class MismatchError(DataError):
    """Labels that contradict their image or classes. It ends the import, since the whole data set may be meant so."""


@dataclass(frozen=True)
class ImageGeometry:
    """What a mask has to fit: the size of an image, its EXIF orientation (1 to 8) and the frame of its labels."""

    stored: tuple[int, int]
    orientation: int = 1
    frame: Frame = "stored"

    @property
    def shown(self) -> tuple[int, int]:
        """The size after the orientation is applied."""
        return transposed_size(*self.stored, self.orientation)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the mask to draw."""
        return self.shown if self.frame == "shown" else self.stored

    def frame_of_size(self, size: Size) -> Frame | None:
        """The frame of labels that state this size; None where both frames have it, or none has."""
        return _only(size == self.stored, size == self.shown)

    def frame_of_points(self, right: float, bottom: float) -> Frame | None:
        """The frame of labels that reach this far; None where they fit into both, or none."""
        return _only(*(right <= w + _TOLERANCE and bottom <= h + _TOLERANCE for h, w in (self.stored, self.shown)))

    def check_size(self, size: Size, what: str) -> None:
        """Raise MismatchError for labels of another size; `what` begins the message."""
        if size != self.size:
            cure = "Give both the same size, or remove the pair."
            if size == self.size[::-1]:
                cure = "Width and height are exchanged in one of the two: correct it."
            height, width = self.size
            raise MismatchError(
                f"{what} is of {size[1]}x{size[0]} pixels, but its image is of {width}x{height}. {cure}"
            )

    def check_stated_size(self, size: Size, what: str) -> None:
        """Raise MismatchError where labels state a size that the image has in neither frame."""
        if None not in size and size not in (self.stored, self.shown):
            self.check_size(size, what)

    def to_stored(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A mask of `size` over the pixels as they are stored."""
        inverse = {6: 8, 8: 6}.get(self.orientation, self.orientation)
        return mask if self.frame == "stored" else transpose(mask[..., None], inverse)[..., 0]


def _only(stored: bool, shown: bool) -> Frame | None:
    return None if stored == shown else "stored" if stored else "shown"


def mask_frame(mask: Blob, geometry: ImageGeometry) -> Frame | None:
    """The frame that the size of a mask file proves. Raises DataError."""
    return geometry.frame_of_size(EncodedImage(mask.read(), mask.name).size())
