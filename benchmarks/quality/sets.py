"""The data sets, in a work folder: what each is split into, and how its test masks are scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segwright.evaluation.metrics import ConfusionMatrix
from segwright.labels import IGNORE

SPLITS = ("train", "validation", "test")
HELD_OUT = 3
"""Of the 16 retina photographs outside a fold, for choosing."""


@dataclass(frozen=True)
class DataSet:
    """A data set of the benchmark."""

    class_names: tuple[str, ...]
    folds: int = 1
    headline: str = "mean IoU"
    """What tables lead with: the mean IoU, or the Dice coefficient of the last class."""


SETS = {
    "camvid": DataSet(
        (
            *("Sky", "Building", "Pole", "Road", "Pavement", "Tree"),
            *("SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"),
        )
    ),
    "retina": DataSet(("background", "vessel"), folds=5, headline="vessel Dice"),
    "nuclei": DataSet(("background", "nucleus", "border")),
}


def prepare(name: str, fold: int, source: Path, work: Path) -> Path:
    """The folder of a set (of a fold, where it has several) with train, train_annotation and so on; made if missing.

    Masks hold class indices, 255 is ignored. For retina photographs, fold k tests the images whose number is k modulo
    5; three of the next fold are for validation.
    """
    folder = work / "data" / (name if SETS[name].folds == 1 else f"{name}-{fold}")
    if folder.exists():
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    for split in SPLITS:
        for suffix in ("", "_annotation"):
            (partial / f"{split}{suffix}").mkdir(parents=True, exist_ok=True)
    if name == "retina":
        _split_retina(source / name, fold, partial)
    else:
        for path in (source / name).glob("*/*"):
            link(path, partial / path.parent.name)
    partial.rename(folder)
    return folder


def _split_retina(source: Path, fold: int, folder: Path) -> None:
    (folder / "test_field_of_view").mkdir(exist_ok=True)
    held_out = 0
    for image in sorted((source / "images").iterdir()):
        split, number = "train", int(image.stem)
        if number % 5 == fold:
            split = "test"
            link(source / "field_of_view" / f"{image.stem}.png", folder / "test_field_of_view")
        elif number % 5 == (fold + 1) % 5 and held_out < HELD_OUT:
            split, held_out = "validation", held_out + 1
        link(image, folder / split)
        mask = np.asarray(Image.open(source / "masks" / f"{image.stem}.png")) > 0
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{split}_annotation" / f"{image.stem}.png")


def link(path: Path, folder: Path) -> None:
    """Link a file into a folder."""
    target = folder / path.name
    if not target.is_symlink():
        target.symlink_to(path.resolve())


def score(name: str, data: Path, split: str, predictions: Path) -> dict[str, dict[str, object]]:
    """Score the PNG masks of a split, all systems by the same code: figures over all pixels, and where the set has
    fields of view, over those.

    Raises ValueError for a prediction of another size than its mask, FileNotFoundError for a missing one.
    """
    names = SETS[name].class_names
    matrices = {"all pixels": ConfusionMatrix(len(names))}
    fields = data / f"{split}_field_of_view"
    if fields.exists():
        matrices["field of view"] = ConfusionMatrix(len(names))
    for path in sorted((data / f"{split}_annotation").iterdir()):
        labels, predicted = np.array(Image.open(path)), np.asarray(Image.open(predictions / path.name))
        if labels.shape != predicted.shape:
            raise ValueError(f"{predictions / path.name} has the shape {predicted.shape}, its mask {labels.shape}")
        matrices["all pixels"].update(labels, predicted)
        if fields.exists():
            labels[np.asarray(Image.open(fields / path.name)) == 0] = IGNORE
            matrices["field of view"].update(labels, predicted)
    results = {}
    for region, matrix in matrices.items():
        scores = matrix.scores(names)
        results[region] = {
            "mean_iou": round(scores.mean_iou, 4),
            "pixel_accuracy": round(scores.pixel_accuracy, 4),
            "iou": {entry.name: round(entry.iou or 0.0, 4) for entry in scores.per_class},
            "dice": {entry.name: round(entry.dice or 0.0, 4) for entry in scores.per_class},
        }
    return results
