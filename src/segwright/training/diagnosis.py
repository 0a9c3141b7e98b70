"""Whether a training fails: told by the scores of its validations, by its losses, and by what it is validated on.

Scores have the form of `evaluation.Scores.to_json`, records that of the lines in `metrics.jsonl`.
"""

from collections.abc import Mapping, Sequence
from itertools import compress, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.wording import counted, listed

_FEW_IMAGES: Final = 5  # validation images, below which a score says little
_NO_GAIN: Final = 0.005  # of mean IoU above that of a constant prediction
_COMPARABLE: Final = 3  # epochs whose losses can be compared
_MOST_NAMES: Final = 5

_CURES: Final = {
    "class": "train longer; if not set yet, class_weights auto helps rare classes, and a smaller decoder_output_stride "
    "thin ones",
    "score": "train longer, or with another learning_rate; segwright inspect shows the masks over their images",
    "loss": "try a higher or lower learning_rate",
}

Scores = Mapping[str, Any]
Records = Sequence[Mapping[str, Any]]


class Diagnosis:
    """What a training has warned of so far: it warns of each failure once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def warnings(self, scores: Scores, records: Records, share: float) -> list[str]:
        """What is new after a validation, when `share` of the training is done: in the first third nothing, since a
        training may still learn.
        """
        found = _failures(scores, records) if share > 1 / 3 else {}
        new = {what: clause for what, clause in found.items() if what not in self._told}
        self._told |= new.keys()
        kinds = {clause: kind for (kind, _), clause in new.items()}
        return [f"{clause}: {_CURES[kind]}" for clause, kind in kinds.items()]


def verdict(scores: Scores, records: Records) -> tuple[str, str]:
    """What is wrong with a trained model and what to do about it; two empty strings where nothing is."""
    found = _failures(scores, records)
    cures = [_CURES[kind] for kind, _ in found]
    return "; ".join(dict.fromkeys(found.values())), cures[0] if cures else ""


def constant_score(scores: Scores) -> tuple[str, float]:
    """The most frequent class of the validation masks, and the mean IoU of a model that predicts nothing else."""
    entries = scores["per_class"]
    largest = max(entries, key=lambda entry: int(entry["support"]))
    pixels = sum(entry["support"] for entry in entries)
    return largest["name"], largest["support"] / max(pixels, 1) / len(entries)


def losses(records: Records) -> tuple[float, float] | None:
    """The mean training losses of the first epoch and of the last third of all updates; None for too few epochs."""
    if len(records) < _COMPARABLE:
        return None
    ends = [0, *(record["updates"] for record in records)]
    late = [
        (record["train_loss"], end - begin)
        for record, (begin, end) in zip(records, pairwise(ends), strict=True)
        if end > ends[-1] * 2 / 3
    ]
    return records[0]["train_loss"], sum(loss * n for loss, n in late) / max(sum(n for _, n in late), 1)


def validation_gaps(images: int, histogram: NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """What so many validation images, with masks of this histogram, int64 [C], cannot measure."""
    gaps = []
    if images < _FEW_IMAGES:
        gaps.append(f"there {'is' if images == 1 else 'are'} only {counted(images, 'image')}: a score says little")
    if absent := list(compress(class_names, histogram == 0)):
        its = "is in no mask: its IoU is" if len(absent) == 1 else "are in no mask: their IoU is"
        gaps.append(f"{listed(absent, _MOST_NAMES)} {its} not measured")
    return gaps


def _failures(scores: Scores, records: Records) -> dict[tuple[str, str], str]:
    """Clauses by kind, a key of the cures, and name of the class; classes of a kind share one."""
    clauses: dict[tuple[str, str], str] = {}
    missed = [entry for entry in scores["per_class"] if entry["support"] and not entry["recall"]]
    for how, names in (
        ("never predicted", [entry["name"] for entry in missed if entry["precision"] is None]),
        ("predicted in wrong places only", [entry["name"] for entry in missed if entry["precision"] is not None]),
    ):
        clause = f"{listed(names, _MOST_NAMES)} {'was' if len(names) == 1 else 'were'} {how}"
        clauses |= {("class", name): clause for name in names}
    name, constant = constant_score(scores)
    if scores["mean_iou"] <= constant + _NO_GAIN:
        clauses["score", ""] = f"{constant:.4f} is what {name} alone scores"
    compared = losses(records)
    if compared and compared[1] >= compared[0]:
        first, late = compared
        clauses["loss", ""] = f"the loss did not fall ({first:.4f} in the first epoch, {late:.4f} in the last third)"
    return clauses
