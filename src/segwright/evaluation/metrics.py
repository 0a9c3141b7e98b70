"""Counts of labelled against predicted classes, exact in 64-bit integers, and the scores that follow from them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.evaluation.boundary import BoundaryScores
from segwright.labels import IGNORE


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class; None where a figure is 0 divided by 0."""

    index: int
    name: str
    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    support: int  # pixels labelled with the class


@dataclass(frozen=True)
class Scores:
    """How well predictions agree with labels; pixels labelled 255 take no part."""

    mean_iou: float  # over all classes; one that is neither labelled nor predicted counts 0 (SageMaker's figure)
    mean_iou_present: float  # over the classes with at least one labelled pixel
    mean_dice: float  # over all classes, as mean_iou
    pixel_accuracy: float
    per_class: tuple[ClassScores, ...]
    boundary: BoundaryScores | None = None  # of borders, where they were scored

    def to_json(self) -> dict[str, Any]:
        """The scores as plain values; a figure that is undefined is null, one that was not computed is missing."""
        document, per_class = dict(vars(self)), [dict(vars(entry)) for entry in self.per_class]
        if boundary := document.pop("boundary"):
            document |= {"mean_boundary_f": dict(boundary.mean_f), "mean_boundary_iou": boundary.mean_iou}
            for entry, of_borders in zip(per_class, boundary.per_class, strict=True):
                entry |= {"boundary_f": dict(of_borders.f), "boundary_iou": of_borders.iou}
        return {**document, "per_class": per_class}


class ConfusionMatrix:
    """Pixel counts, int64 [C, C]: rows are labelled classes, columns predicted ones."""

    def __init__(self, num_classes: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)

    def update(self, labels: NDArray[np.uint8], predictions: NDArray[np.uint8]) -> None:
        """Count one image: labels, uint8 [H, W] with 255 = ignore, against predictions, uint8 [H, W].

        Raises ValueError for a class outside the matrix.
        """
        classes = len(self.counts)
        counted = labels != IGNORE
        pairs = labels[counted].astype(np.int64) * classes + predictions[counted]
        if pairs.size and (labels[counted].max() >= classes or predictions[counted].max() >= classes):
            raise ValueError(f"a class index is not below {classes}")
        self.counts += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def scores(self, names: tuple[str, ...]) -> Scores:
        """Return the scores of everything counted so far.

        Source: mean IoU and pixel accuracy as GluonCV's SegmentationMetric, whose epsilon of 2.2e-16 in the
        denominators is exact zero here.
        """
        hits = np.diagonal(self.counts)
        support, predicted = self.counts.sum(1), self.counts.sum(0)
        union = support + predicted - hits
        per_class = tuple(
            ClassScores(
                index=index,
                name=names[index],
                iou=_ratio(hits[index], union[index]),
                dice=_ratio(2 * hits[index], support[index] + predicted[index]),
                precision=_ratio(hits[index], predicted[index]),
                recall=_ratio(hits[index], support[index]),
                support=int(support[index]),
            )
            for index in range(len(hits))
        )
        present = [entry.iou or 0.0 for entry in per_class if entry.support]
        return Scores(
            mean_iou=sum(entry.iou or 0.0 for entry in per_class) / len(per_class),
            mean_iou_present=sum(present) / max(len(present), 1),
            mean_dice=sum(entry.dice or 0.0 for entry in per_class) / len(per_class),
            pixel_accuracy=_ratio(hits.sum(), support.sum()) or 0.0,
            per_class=per_class,
        )


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return int(part) / int(whole) if whole else None
