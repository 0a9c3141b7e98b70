"""Images that a camera noted as turned (EXIF): over which pixels their labels lie.

Knows that one tool treats all images of a data set alike, so that what some labels prove holds for those that prove
nothing. Refuses to know how labels prove it.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

from segwright.importers.dataset import Frame
from segwright.wording import listed

logger = logging.getLogger(__name__)

_FLAG: Final = "--apply-exif-orientation"
_SHAPES: Final[dict[Frame, str]] = {"shown": "programs show them", "stored": "their pixels are stored"}
_DONE: Final[dict[Frame, str]] = {
    "shown": f"so their masks were turned to fit the pixels as they are stored. Train without {_FLAG}.",
    "stored": f"so their masks fit. Train without {_FLAG}.",
}
_UNSURE: Final[dict[Frame, str]] = {
    "shown": "Tools of this format label images as programs show them, so the masks were turned to fit the pixels as "
    "they are stored.",
    "stored": "Nothing tells whether they were labelled as programs show them; the masks are taken to fit the pixels "
    "as they are stored.",
}


@dataclass(frozen=True)
class TurnedImage:
    """An image of another orientation than 1, and the frame that its labels prove."""

    name: str
    proven: Frame | None


def common_frame(images: Sequence[TurnedImage], usual: Frame) -> Frame:
    """The frame of labels that prove none: that of most others, or the usual one of the format."""
    votes = Counter(image.proven for image in images if image.proven)
    if votes["stored"] == votes["shown"]:
        return usual
    return "stored" if votes["stored"] > votes["shown"] else "shown"


def tell_turned(images: Sequence[TurnedImage], common: Frame, total: int, said: Frame | None) -> None:
    """A warning for each frame: how many of all images are turned, what was done and why, and the flag that matters;
    `said` is what the user says of the frame.
    """
    for frame in get_args(Frame):
        found = [image for image in images if (said or image.proven or common) == frame]
        proofs = sum(image.proven is not None for image in found)
        if not found:
            continue
        if said:
            why = f"They were labelled as {_SHAPES[frame]}, as --labelled says, {_DONE[frame]}"
        elif proofs:
            why = f"The sizes or points of {proofs} prove that they were labelled as {_SHAPES[frame]}, {_DONE[frame]}"
        else:
            other = "stored" if frame == "shown" else "shown"
            why = (
                f"{_UNSURE[frame]} Look at some with `segwright inspect`: if they lie turned, import with --labelled "
                f"{other}. Train without {_FLAG}."
            )
        names = sorted(image.name for image in found)
        logger.warning(
            f"{len(found)} of {total} images are noted as turned by the camera (EXIF): {listed(names)}. {why}"
        )
