"""Images with an EXIF orientation, and whether their masks were drawn on the image as stored or turned upright.

Knows that masks carry no such note: a mask drawn in a tool that shows pictures upright fits only the turned image, and
where turning keeps the size (by 180 degrees, mirrored, or square) nothing else tells. Compares where brightness
changes with where classes meet. Refuses to turn anything by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.checks.findings import image_names
from segwright.checks.scan import PairScan
from segwright.data.pairs import decode_mask_of
from segwright.errors import DataError
from segwright.findings import Finding, Severity
from segwright.formats.exif import transpose, transposed_size
from segwright.formats.images import EncodedImage
from segwright.formats.mask_numbers import MaskArray
from segwright.visualization import displayable

_COMPARED: Final = 20  # pairs
_LONG_SIDE: Final = 512  # pixels, at which they are compared
_REACH: Final = 2.0  # pixels; borders of classes are not drawn more exactly
_FEWEST_PIXELS: Final = 20  # of borders between classes
_CLEARLY: Final = 1.2  # times as strong
_CLEARLY_IN_FEW: Final = 1.5
_ENOUGH: Final = 5  # pairs; fewer have to be clearer, and one proves nothing
_MOSTLY: Final = 0.8  # of the pairs


def fits_either_way(reading: PairScan) -> bool:
    """Whether an image with an orientation is as large as its mask both as stored and turned upright."""
    size = reading.image_size
    return reading.orientation > 1 and size == reading.mask_size == transposed_size(*size, reading.orientation)


def count_orientations(noted: Sequence[tuple[str, int]], images: int) -> str:
    """How many of some images carry an orientation other than 1; `noted` are the names and orientations of those."""
    name, orientation = noted[0]
    return (
        f"{len(noted)} of {images} images {'carries' if len(noted) == 1 else 'carry'} an EXIF orientation other than 1 "
        f"(for example {name}: {orientation})"
    )


def orientation_finding(readings: Sequence[PairScan], channel: str, *, upright: bool) -> Finding | None:
    """What is to be said of images with an orientation other than 1; None where there are none.

    `upright` says that images are turned as noted. Up to 20 pairs are read again to compare both ways; those whose
    sizes differ have been refused, and are not counted.
    """
    noted = [reading for reading in readings if reading.orientation > 1 and reading.image_size == reading.mask_size]
    if not noted:
        return None
    count = count_orientations([(one.pair.image.name, one.orientation) for one in noted], len(readings))
    done = f"{'it is' if len(noted) == 1 else 'they are'} {'turned upright' if upright else 'read as stored'}"
    ambiguous = [reading for reading in noted if fits_either_way(reading)]
    severity, rest, cure = _judged(ambiguous, len(noted), channel, upright)
    return Finding(severity, channel, f"{count}: {done}{rest}", cure, image_names(ambiguous or noted), len(noted))


def _judged(readings: Sequence[PairScan], noted: int, channel: str, upright: bool) -> tuple[Severity, str, str]:
    """How grave it is, the rest of the sentence, and the cure."""
    if not readings:
        return "note", ", which the sizes of their masks agree with.", ""
    either = "their masks fit either way" if len(readings) == noted else f"{len(readings)} masks fit either way"
    flag = "--apply-exif-orientation"
    if channel in ("train", "validation"):
        cure = f"Leave {flag} out" if upright else f"Add {flag}"
    else:
        cure = f"Turn the masks, or take a model that was trained {'without' if upright else 'with'} {flag}"
    evidence = compare_orientations(readings)
    if evidence is None or evidence.upright is None:
        drawn = "as they are stored" if upright else "upright"
        looked = "" if evidence is None else f" ({evidence})"
        return (
            "warning" if not upright else "note",
            f"; {either}, so look{looked}: they may have been drawn on the pictures {drawn}.",
            f"{cure}, if they were.",
        )
    if evidence.upright == upright:
        return "note", f"; {either}, but fit best so: {evidence}.", ""
    drawn = "as stored" if upright else "turned upright"
    return "warning", f"; {either}, but they were drawn on the pictures {drawn}, it seems: {evidence}.", f"{cure}."


@dataclass(frozen=True)
class Evidence:
    """How much stronger brightness changes along the borders of classes in one way than in the other."""

    compared: int
    """Pairs in which classes meet."""
    for_upright: int
    """How many of them fit better turned upright."""
    ratio: float
    """Upright over stored, the geometric mean."""

    @property
    def upright(self) -> bool | None:
        """Whether the masks fit the upright images, or None where neither way is clearly better."""
        clearly = _CLEARLY if self.compared >= _ENOUGH else _CLEARLY_IN_FEW
        if self.compared < 2:
            return None
        if self.ratio >= clearly and self.for_upright >= _MOSTLY * self.compared:
            return True
        if self.ratio <= 1 / clearly and self.compared - self.for_upright >= _MOSTLY * self.compared:
            return False
        return None

    def __str__(self) -> str:
        upright = self.ratio >= 1
        better, other = ("upright", "stored") if upright else ("stored", "upright")
        agreeing = self.for_upright if upright else self.compared - self.for_upright
        return (
            f"along class borders brightness changes {max(self.ratio, 1 / self.ratio):.2g} times as much in the "
            f"{better} pictures as in the {other} ones (so in {agreeing} of {self.compared} compared)"
        )


def compare_orientations(readings: Sequence[PairScan]) -> Evidence | None:
    """Compare up to 20 images that fit their masks either way; None where no classes meet in any."""
    chosen = {int(place) for place in np.linspace(0, len(readings) - 1, min(_COMPARED, len(readings)))}
    ratios = [ratio for place in sorted(chosen) if (ratio := _upright_over_stored(readings[place])) is not None]
    if not ratios:
        return None
    return Evidence(len(ratios), sum(ratio > 1 for ratio in ratios), float(np.exp(np.mean(np.log(ratios)))))


def _upright_over_stored(reading: PairScan) -> float | None:
    """How much more brightness changes along the borders of classes in the upright image; None where none meet."""
    pair = reading.pair
    largest = max(max(reading.image_size) // _LONG_SIDE, 1)
    try:
        form = replace(reading.form, exif_transposed=False)
        pixels, _ = EncodedImage(pair.image.read(), pair.image.name).decode_reduced(form, largest)
        mask = decode_mask_of(pair, pair.mask.read()).numbers
    except DataError:  # it has changed since it was checked; the training will say so
        return None
    grey = displayable(pixels).mean(2, dtype=np.float32)
    stored, upright = (
        _at_borders(image, mask) for image in (grey, transpose(grey[..., None], reading.orientation)[..., 0])
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
