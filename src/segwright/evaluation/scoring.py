"""Folders of images and masks as checked pairs, and the scores of a runtime on them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from segwright.checks.channel import Expected, check_pairs
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.data.channels import Source
from segwright.data.lists import LIST_SUFFIXES
from segwright.data.pairs import Pair
from segwright.errors import DataError
from segwright.evaluation.boundary import BoundaryCounts
from segwright.evaluation.metrics import ConfusionMatrix, Scores
from segwright.evaluation.predictions import predict_pairs
from segwright.formats.pixels import PixelFormat
from segwright.inference.runtimes import Runtime
from segwright.labels import LabelMap
from segwright.storage import Location, parse_location


def labelled_pairs(
    images: Location | str,
    masks: Location | str | None,
    label_map: LabelMap,
    class_names: tuple[str, ...],
    pixel_format: PixelFormat,
    *,
    attributes: Sequence[str] | None = None,
    strict: bool = False,
) -> Sequence[Pair]:
    """Pair and check images with their masks, which a manifest, with `attributes`, or a RecordIO file has with it.

    Raises DataError and LabelError for what is wrong with the files, as training does.
    """
    if masks is not None and parse_location(images).suffix.lower() in LIST_SUFFIXES:
        raise DataError(f"{images} has its masks with it: leave masks out.")
    named = None if attributes is None else tuple(attributes)
    pairing = Source(parse_location(images), None if masks is None else parse_location(masks), named).pairing()
    requested = RequestedFormat.exactly(pixel_format)
    expected = Expected("evaluation", label_map, len(class_names), requested, class_names, strict)
    return check_pairs(pairing, expected).pairs


def score(
    runtime: Runtime,
    pairs: Sequence[Pair],
    label_map: LabelMap,
    class_names: tuple[str, ...],
    pixel_format: PixelFormat,
    after_each: Callable[[], object],
    *,
    scale: float = 1.0,
    tta: bool = False,
    boundary: bool = False,
) -> Scores:
    """Score a runtime on pairs, each image whole and at its own size; with `boundary`, borders too.

    `scale` and `tta` are those of `inference.logits.logit_blocks`. Raises DataError when a file cannot be read.
    """
    matrix, borders = ConfusionMatrix(len(class_names)), BoundaryCounts(len(class_names))
    for labels, prediction in predict_pairs(runtime, pairs, label_map, pixel_format, scale=scale, tta=tta):
        matrix.update(labels, prediction)
        if boundary:
            borders.update(labels, prediction)
        after_each()
    scores = matrix.scores(class_names)
    return replace(scores, boundary=borders.scores()) if boundary else scores
