"""Images that a camera noted as turned (EXIF): over which pixels their labels lie.

Knows that one tool treats all images of a data set alike, so that what some labels prove holds for those that prove
nothing. Refuses to know how labels prove it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from segwright.console import LOGGER
from segwright.data.importers.items import Frame, some

_FLAG: Final = "--apply-exif-orientation"


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
    return max(votes, key=lambda frame: votes[frame])


def tell_turned(images: Sequence[TurnedImage], common: Frame, total: int) -> None:
    """A warning for each frame: how many of all images are turned, what was done, and the flag that matters."""
    for frame in ("shown", "stored"):
        found = [image for image in images if (image.proven or common) == frame]
        if found:
            proofs = sum(image.proven is not None for image in found)
            LOGGER.warning(
                f"{len(found)} of {total} images are noted as turned by the camera (EXIF): "
                f"{some([image.name for image in found])}. {_REASONS[frame, bool(proofs)].format(proofs=proofs)}"
            )


_REASONS: Final[dict[tuple[str, bool], str]] = {
    ("shown", True): "Sizes or points prove of {proofs} that they were labelled as programs show them, so the masks "
    f"were turned to fit the pixels as they are stored. Train without {_FLAG}.",
    ("shown", False): "Tools of this format label images as programs show them, so the masks were turned to fit the "
    f"pixels as they are stored. Look at them with `segwright inspect`, and train without {_FLAG}.",
    ("stored", True): "Sizes or points prove of {proofs} that they were labelled as their pixels are stored. Train "
    f"without {_FLAG}.",
    ("stored", False): "Nothing tells whether they were labelled as programs show them; the masks are taken to fit "
    "the pixels as they are stored. Look at them with `segwright inspect`: if masks lie turned, train with "
    f"{_FLAG}.",
}
