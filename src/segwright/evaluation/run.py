"""A bundle against folders of images and masks: the command `evaluate`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from segwright.console import progress, table
from segwright.errors import LabelError
from segwright.evaluation.metrics import Scores
from segwright.evaluation.scoring import labelled_pairs, score
from segwright.inference.model import load
from segwright.labels import LabelMap
from segwright.standard_streams import OUTPUT
from segwright.storage import Location

logger = logging.getLogger(__name__)

_TOLERANCE: Final = 2  # pixels: of the boundary F-scores that are printed


def evaluate(
    bundle: Path | str,
    images: Location | str,
    masks: Location | str | None = None,
    *,
    label_map: Path | str | None = None,
    attributes: Sequence[str] | None = None,
    device: str | None = None,
    precision: str = "float32",
    scale: float | None = None,
    tta: bool = False,
    strict: bool = False,
) -> Scores:
    """Score a bundle on folders of images and masks, each image whole and at its own size.

    A manifest, of which `attributes` may name image and mask, or a RecordIO file in place of the images has its masks
    with it. Without `label_map` the masks are read as the model's validation masks were; class names in it are those of
    the model, in any order. `precision`, `scale` and `tta` are those of `load`; only float32 gives the same scores on
    every processor. Raises DataError, LabelError or BundleError for what is wrong with the files, as training does.
    """
    model = load(bundle, device, precision, scale=scale, tta=tta)
    mask_map = model.description.label_map("validation")
    if label_map:
        mask_map = _numbered_map(Path(label_map), model.class_names)
    logger.info(f"label map: {mask_map.in_words(model.class_names)}")
    known = mask_map, model.class_names, model.pixel_format
    pairs = labelled_pairs(images, masks, *known, attributes=attributes, strict=strict)
    with progress("evaluating", len(pairs), every=50) as advance:
        return score(
            model.runtime,
            pairs,
            *known,
            lambda: advance(1, "images"),
            scale=model.scale,
            tta=model.tta,
            boundary=True,
        )


def print_scores(scores: Scores, title: str) -> None:
    """Print scores as a table of classes and lines of totals, with those of borders where they were scored."""
    classes, boundary = scores.per_class, scores.boundary
    columns = {
        "IoU %": [entry.iou for entry in classes],
        "Dice %": [entry.dice for entry in classes],
        "precision %": [entry.precision for entry in classes],
        "recall %": [entry.recall for entry in classes],
    }
    totals = (
        f"mean IoU {scores.mean_iou:.4f} over all classes, {scores.mean_iou_present:.4f} over those present\n"
        f"mean Dice {scores.mean_dice:.4f} over all classes, pixel accuracy {scores.pixel_accuracy:.4f}"
    )
    if boundary:
        columns["boundary F %"] = [entry.f[_TOLERANCE] for entry in boundary.per_class]
        mean_f, mean_iou = (
            "-" if mean is None else f"{mean:.4f}" for mean in (boundary.mean_f[_TOLERANCE], boundary.mean_iou)
        )
        totals += f"\nmean boundary F-score {mean_f} within {_TOLERANCE} pixels, mean boundary IoU {mean_iou}"
    percents = [["-" if figure is None else f"{100 * figure:.1f}" for figure in column] for column in columns.values()]
    rows = [
        (f"{entry.index} {entry.name}", *figures, f"{entry.support:,}")
        for entry, *figures in zip(classes, *percents, strict=True)
    ]
    table(title, ("class", *columns, "pixels"), rows)
    print(totals, file=OUTPUT, flush=True)


def _numbered_map(path: Path, class_names: tuple[str, ...]) -> LabelMap:
    """A label map whose classes are numbered as those of the model."""
    label_map = LabelMap.read(path)
    try:
        return label_map.numbered_as(class_names)
    except LabelError as error:
        raise LabelError(f"{path}: {error}") from None
