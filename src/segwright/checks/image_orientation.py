"""Images with an EXIF orientation, and whether their masks were drawn on the image as stored or turned upright.

A mask carries no orientation. Where turning keeps the size, nothing but the borders of classes shows on which image it
was drawn, so brightness changes are compared with them. Nothing is turned by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel_statistics import ScannedChannel
from segwright.checks.scan import PairScan, image_names
from segwright.data.pairs import decode_mask_of
from segwright.errors import DataError
from segwright.findings import Finding, Severity
from segwright.formats.exif import transpose, transposed_size
from segwright.formats.images import EncodedImage
from segwright.formats.masks import MaskArray
from segwright.visualization import displayable

_COMPARED: Final = 20  # pairs
_LONG_SIDE: Final = 512  # pixels, at which they are compared
_REACH: Final = 2.0  # pixels; borders of classes are not drawn more exactly
_FEWEST_PIXELS: Final = 20  # of borders between classes
_CLEARLY: Final = 1.2  # times as strong
_CLEARLY_IN_FEW: Final = 1.5
_ENOUGH: Final = 5  # pairs; fewer have to be clearer, and one proves nothing
_MOSTLY: Final = 0.8  # of the pairs


def fits_either_way(scan: PairScan) -> bool:
    """Whether an image with an orientation is as large as its mask both as stored and turned upright."""
    size = scan.image_size
    return scan.orientation > 1 and size == scan.mask_size == transposed_size(*size, scan.orientation)


def count_orientations(noted: Sequence[tuple[str, int]], images: int) -> str:
    """How many of some images carry an orientation other than 1; `noted` are the names and orientations of those."""
    (name, orientation), carry = noted[0], "carries" if len(noted) == 1 else "carry"
    which = f"{len(noted)} of {images} images {carry} an EXIF orientation other than 1"
    return f"{which} (for example {name}: {orientation})"


def orientations_fit(scans: ScannedChannel, *, upright: bool) -> Iterator[Finding]:
    """Images with an orientation other than 1; `upright` says that they are turned accordingly. Up to 20 pairs are read
    again to compare both ways; those whose sizes differ are refused by another rule.
    """
    noted = [scan for scan in scans.scans if scan.orientation > 1 and scan.image_size == scan.mask_size]
    if not noted:
        return
    count = count_orientations([(scan.pair.image.name, scan.orientation) for scan in noted], len(scans.scans))
    done = f"{'it is' if len(noted) == 1 else 'they are'} {'turned upright' if upright else 'read as stored'}"
    ambiguous = [scan for scan in noted if fits_either_way(scan)]
    severity, rest, cure = _judge(ambiguous, len(noted), scans.channel, upright)
    files = image_names(ambiguous or noted)
    yield Finding("orientations_fit", severity, scans.channel, f"{count}: {done}{rest}", cure, files, len(noted))


def _judge(ambiguous: Sequence[PairScan], noted: int, channel: str, upright: bool) -> tuple[Severity, str, str]:
    """The severity, the rest of the sentence, and the cure."""
    if not ambiguous:
        return "note", ", which the sizes of their masks agree with.", ""
    either = "their masks fit either way" if len(ambiguous) == noted else f"{len(ambiguous)} masks fit either way"
    cure = f"Set apply_exif_orientation to {not upright}"
    if channel not in ("train", "validation"):
        cure = f"Turn the masks, or take a model that was trained with apply_exif_orientation {not upright}"
    evidence = _compare(ambiguous)
    if evidence is None or evidence.upright is None:
        drawn = "as they are stored" if upright else "upright"
        looked = f" ({evidence})" if evidence else ""
        rest = f"; {either}, so look{looked}: they may have been drawn on the images {drawn}."
        return "note" if upright else "warning", rest, f"{cure}, if they were."
    if evidence.upright == upright:
        return "note", f"; {either}, but fit best so: {evidence}.", ""
    drawn = "as stored" if upright else "turned upright"
    return "warning", f"; {either}, but they were drawn on the images {drawn}, it seems: {evidence}.", f"{cure}."


@dataclass(frozen=True)
class Evidence:
    """How much stronger brightness changes along the borders of classes in one way than in the other."""

    compared: int  # pairs in which classes meet
    for_upright: int  # how many of them fit better turned upright
    ratio: float  # upright over stored, the geometric mean

    @property
    def _agreeing(self) -> int:
        return self.for_upright if self.ratio >= 1 else self.compared - self.for_upright

    @property
    def upright(self) -> bool | None:
        """Whether the masks fit the upright images, or None where neither way is clearly better."""
        clearly = _CLEARLY if self.compared >= _ENOUGH else _CLEARLY_IN_FEW
        clear = max(self.ratio, 1 / self.ratio) >= clearly and self._agreeing >= _MOSTLY * self.compared
        return self.ratio >= 1 if clear and self.compared > 1 else None

    def __str__(self) -> str:
        better, other = ("upright", "stored") if self.ratio >= 1 else ("stored", "upright")
        return (
            f"along class borders brightness changes {max(self.ratio, 1 / self.ratio):.2g} times as much in the "
            f"{better} images as in the {other} ones (so in {self._agreeing} of {self.compared} compared)"
        )


def _compare(scans: Sequence[PairScan]) -> Evidence | None:
    """Compare up to 20 images that fit their masks either way; None where no classes meet in any."""
    chosen = np.linspace(0, len(scans) - 1, min(_COMPARED, len(scans))).astype(int).tolist()
    ratios = [ratio for index in chosen if (ratio := _upright_over_stored(scans[index])) is not None]
    if not ratios:
        return None
    return Evidence(len(ratios), sum(ratio > 1 for ratio in ratios), float(np.exp(np.mean(np.log(ratios)))))


def _upright_over_stored(scan: PairScan) -> float | None:
    """How much more brightness changes along the borders of classes in the upright image; None where none meet."""
    pair = scan.pair
    largest = max(max(scan.image_size) // _LONG_SIDE, 1)
    try:
        pixel_format = replace(scan.pixel_format, exif_transposed=False)
        pixels, _ = EncodedImage(pair.image.read(), pair.image.name).decode_reduced(pixel_format, largest)
        mask = decode_mask_of(pair, pair.mask.read()).numbers
    except DataError:  # it has changed since it was scanned; the training will say so
        return None
    grey = displayable(pixels).mean(2, dtype=np.float32)
    stored, upright = (
        _at_borders(image, mask) for image in (grey, transpose(grey[..., None], scan.orientation)[..., 0])
    )
    return upright / stored if stored and upright else None


def _at_borders(grey: NDArray[np.float32], mask: MaskArray) -> float:
    """How strongly brightness, [H, W], changes near the borders of classes, as a multiple of the mean; 0 for none."""
    height, width = grey.shape
    small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    borders = np.zeros(small.shape, bool)
    borders[1:] |= small[1:] != small[:-1]
    borders[:, 1:] |= small[:, 1:] != small[:, :-1]
    if np.count_nonzero(borders) < _FEWEST_PIXELS:
        return 0.0
    changes = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    near = cv2.GaussianBlur(changes, (0, 0), _REACH)
    everywhere = float(near.mean())
    return float(near[borders].mean()) / everywhere if everywhere else 0.0
