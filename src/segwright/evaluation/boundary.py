"""How well the borders of classes are met: boundary F-score and boundary IoU, exact and in any order of images.

A contour pixel has one of its four neighbours in another class; the edge of the image makes none, and neither do
ignored pixels. `docs/metrics.md` has the definitions in words.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.labels import IGNORE

TOLERANCES: Final = (1, 2, 4)
"""Distances in pixels within which the boundary F-score takes two contours for the same."""

_BAND: Final = 0.02  # width of a band, of the image's diagonal
_UNIT: Final = 1 << 32  # F-scores are summed as whole numbers of 1 / _UNIT: the same sum in any order

_MARGIN: Final = max(TOLERANCES)
_SQUARES: Final = np.add.outer(np.arange(-_MARGIN, _MARGIN + 1) ** 2, np.arange(-_MARGIN, _MARGIN + 1) ** 2)
_CROSS: Final = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_NEIGHBOURS: Final = ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]))

Mask = NDArray[np.uint8]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassBoundaryScores:
    """The scores of the borders of one class; None where there is nothing to measure."""

    f: Mapping[int, float | None]  # boundary F-score by tolerance, mean over the images with a contour of the class
    iou: float | None  # boundary IoU


@dataclass(frozen=True)
class BoundaryScores:
    """How well the borders in predictions agree with those in labels; means are over the classes that have a score."""

    mean_f: Mapping[int, float | None]  # by tolerance
    mean_iou: float | None
    per_class: tuple[ClassBoundaryScores, ...]


class BoundaryCounts:
    """What boundary scores follow from, all int64: counts of images, or of processes, add up to those of all."""

    def __init__(self, num_classes: int) -> None:
        self.f_sums: Counts = np.zeros((len(TOLERANCES), num_classes), np.int64)  # in units of 1 / _UNIT
        self.images: Counts = np.zeros((len(TOLERANCES), num_classes), np.int64)  # that f_sums are over
        self.bands: Counts = np.zeros((2, num_classes), np.int64)  # pixels in intersection and union

    def update(self, labels: Mask, predictions: Mask) -> None:
        """Count one image: labels, uint8 [H, W] with 255 = ignore, against predictions, uint8 [H, W].

        Sources: Csurka et al. 2013 (What is a good evaluation measure for semantic segmentation?) and Perazzi et al.
        2016 (DAVIS) for F-scores; Cheng et al. 2021 (Boundary IoU), as in their code, for bands.
        """
        (recalled, labelled), (precise, predicted) = contour_counts(labels, predictions, self.bands.shape[1])
        # The harmonic mean of recalled / labelled and precise / predicted, either of which may be 0 / 0.
        f_scores = 2 * recalled * precise / np.maximum(recalled * predicted + precise * labelled, 1)
        self.images += labelled + predicted > 0
        self.f_sums += np.rint(f_scores * _UNIT).astype(np.int64)
        self.bands += _band_counts(labels, predictions)[:, : self.bands.shape[1]]

    def scores(self) -> BoundaryScores:
        """Return the scores of everything counted so far."""
        per_class = tuple(
            ClassBoundaryScores(
                f={
                    tolerance: _ratio(self.f_sums[row, index], self.images[row, index] * _UNIT)
                    for row, tolerance in enumerate(TOLERANCES)
                },
                iou=_ratio(self.bands[0, index], self.bands[1, index]),
            )
            for index in range(self.bands.shape[1])
        )
        return BoundaryScores(
            mean_f={tolerance: _mean([entry.f[tolerance] for entry in per_class]) for tolerance in TOLERANCES},
            mean_iou=_mean([entry.iou for entry in per_class]),
            per_class=per_class,
        )


def contour_counts(labels: Mask, predictions: Mask, num_classes: int) -> Sequence[tuple[Counts, Counts]]:
    """Contour pixels of the labels and of the predictions, each [tolerances, C]: how many have one of the other within
    the tolerance, and how many there are.

    A pixel counts only where all contours of the labels within the tolerance are known.
    """
    unknown = cv2.dilate(cv2.inRange(labels, IGNORE, IGNORE), _CROSS)  # whether a pixel here is on a contour
    counted = [
        np.pad(cv2.dilate(unknown, (tolerance**2 >= _SQUARES).astype(np.uint8)) == 0, _MARGIN).ravel()
        for tolerance in TOLERANCES
    ]
    true, predicted = (np.pad(_contours(mask), _MARGIN, constant_values=IGNORE) for mask in (labels, predictions))
    counts = []
    for own, other in ((true, predicted), (predicted, true)):
        pixels = np.flatnonzero(own != IGNORE)
        classes = own.ravel()[pixels]
        matched = _squared_distances(pixels, classes, other)
        hits, support = np.zeros((2, len(TOLERANCES), num_classes), np.int64)
        for row, tolerance in enumerate(TOLERANCES):
            counts_here = counted[row][pixels]
            support[row] = np.bincount(classes[counts_here], minlength=num_classes)
            hits[row] = np.bincount(classes[counts_here & (matched <= tolerance**2)], minlength=num_classes)
        counts.append((hits, support))
    return counts


def _contours(mask: Mask) -> Mask:
    """The class of each contour pixel, 255 elsewhere, uint8 [H, W]; some beside ignored pixels, which never count."""
    contours = np.full_like(mask, IGNORE)
    for one, other in _NEIGHBOURS:
        border = mask[one] != mask[other]
        for side in (one, other):
            np.copyto(contours[side], mask[side], where=border)
    return contours


def _squared_distances(pixels: NDArray[np.intp], classes: Mask, contours: Mask) -> NDArray[np.intp]:
    """The squared distance from each of some pixels, indices into `contours` with its margin, to the nearest contour
    pixel of the same class, if it is within the largest tolerance, and more than that otherwise.
    """
    distances, left = np.full(len(pixels), _MARGIN**2 + 1), np.arange(len(pixels))
    flat, width = contours.ravel(), contours.shape[1]
    for squared, y, x in sorted((_SQUARES[y, x], y, x) for y, x in np.argwhere(_SQUARES <= _MARGIN**2)):
        found = flat[pixels[left] + (y - _MARGIN) * width + x - _MARGIN] == classes[left]
        distances[left[found]] = squared
        left = left[~found]
    return distances


def _band_counts(labels: Mask, predictions: Mask) -> Counts:
    """Intersection and union of the bands of one image, in pixels, [2, 256] by class."""
    known = np.where(labels == IGNORE, IGNORE, predictions)
    true, predicted = (np.where(_band(mask), mask, IGNORE).ravel() for mask in (labels, known))
    pairs = np.bincount(true.astype(np.uint16) * 256 + predicted, minlength=1 << 16).reshape(256, 256)
    shared = np.diagonal(pairs)
    return np.stack([shared, pairs.sum(0) + pairs.sum(1) - shared])


def _band(mask: Mask) -> NDArray[np.bool_]:
    """Which pixels have another class, or the edge of the image, within the width of a band in either direction."""
    width = max(round(_BAND * math.hypot(*mask.shape)), 1)
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    highest = cv2.dilate(np.where(mask == IGNORE, 0, mask), window)
    band = cv2.erode(mask, window) < highest  # Of ignored pixels, neither 255 nor 0 counts in these.
    band[:width], band[-width:], band[:, :width], band[:, -width:] = True, True, True, True
    return np.asarray(band)


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return int(part) / int(whole) if whole else None


def _mean(figures: Sequence[float | None]) -> float | None:
    measured = [figure for figure in figures if figure is not None]
    return sum(measured) / len(measured) if measured else None
