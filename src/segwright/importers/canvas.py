"""The pixels over which labels lie: those that the image file stores, or those that programs show which apply EXIF."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.exif import transposed_size, turned
from segwright.formats.images import image_size
from segwright.storage import Blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

Frame = Literal["stored", "shown"]
"""Labels lie over the pixels as they are stored, or as programs show them."""

Size = tuple[int, ...]
"""(height, width) in pixels."""

_TOLERANCE: Final = 1.0  # pixels by which points may lie outside their image
_LABELLED: Final[dict[Frame, str]] = {"shown": "as programs show them", "stored": "as their pixels are stored"}


class MismatchError(DataError):
    """Labels that contradict their image or classes. It ends the import, since the whole data set may be meant so."""


@dataclass(frozen=True)
class Canvas:
    """What a mask has to fit: the size of an image, its EXIF orientation (1 to 8) and the frame of its labels."""

    stored: Size
    orientation: int = 1
    frame: Frame = "stored"

    @property
    def shown(self) -> Size:
        """The size after the orientation is applied."""
        return transposed_size(self.stored[0], self.stored[1], self.orientation)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the mask to draw."""
        height, width = self.shown if self.frame == "shown" else self.stored
        return height, width

    def frame_of_size(self, size: Size) -> Frame | None:
        """The frame of labels that state this size; None where both frames have it, or none has."""
        return _only(size == self.stored, size == self.shown)

    def frame_of_points(self, right: float, bottom: float) -> Frame | None:
        """The frame of labels that reach this far; None where they fit into both, or none."""
        stored, shown = (
            right <= width + _TOLERANCE and bottom <= height + _TOLERANCE for height, width in (self.stored, self.shown)
        )
        return _only(stored, shown)

    def check_size(self, size: Size, what: str) -> None:
        """Raise MismatchError for labels of another size; `what` begins the message."""
        if size == self.size:
            return
        swapped = size == self.size[::-1]
        cure = (
            "Width and height are exchanged in one of the two: correct it."
            if swapped
            else "Give both the same size, or remove the pair."
        )
        height, width = self.size
        raise MismatchError(f"{what} is of {size[1]}x{size[0]} pixels, but its image is of {width}x{height}. {cure}")

    def check_stated_size(self, size: Size | None, what: str) -> None:
        """Raise MismatchError where labels state a size that the image has in neither frame."""
        if size not in (None, self.stored, self.shown):
            self.check_size(size or (), what)

    def to_stored(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A mask of `size` over the pixels as they are stored."""
        if self.frame == "stored":
            return mask
        inverse = {6: 8, 8: 6}.get(self.orientation, self.orientation)
        return turned(mask[..., None], inverse)[..., 0]


def _only(stored: bool, shown: bool) -> Frame | None:
    return None if stored == shown else "stored" if stored else "shown"


def mask_frame(mask: Blob, canvas: Canvas) -> Frame | None:
    """The frame that the size of a mask file proves. Raises DataError."""
    return canvas.frame_of_size(image_size(mask.read(), mask.name))


def common_frame(proven: Iterable[Frame | None], usual: Frame) -> Frame:
    """The frame of most labels that prove one, since a tool treats all images alike; else the usual one."""
    votes = Counter(proven)
    if votes["stored"] == votes["shown"]:
        return usual
    return "stored" if votes["stored"] > votes["shown"] else "shown"


def log_frames(images: Sequence[tuple[str, Frame | None]], common: Frame, total: int, given: Frame | None) -> None:
    """Warn of images with an EXIF orientation: how their labels were taken and why, and how to train on them.

    `images` are names and what their labels prove, `total` counts all images, and `given` is the user's word.
    """
    for frame in get_args(Frame):
        found = [(name, proven) for name, proven in images if (given or proven or common) == frame]
        if not found:
            continue
        proofs = sum(proven is not None for _, proven in found)
        if given:
            why = "as --labelled says"
        elif proofs:
            why = f"as sizes or points of {proofs} prove"
        else:
            other = "stored" if frame == "shown" else "shown"
            why = (
                "which nothing proves: look at some with `segwright inspect`, and if their masks lie turned, import "
                f"with --labelled {other}"
            )
        logger.warning(
            f"Images with an EXIF orientation: {len(found)} of {total} ({listed(sorted(name for name, _ in found))}), "
            f"taken as labelled {_LABELLED[frame]}, {why}. Masks fit the stored pixels: train without "
            "apply_exif_orientation."
        )
