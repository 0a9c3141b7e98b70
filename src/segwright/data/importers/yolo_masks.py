"""YOLO's semantic task: masks whose numbers are classes, or become classes by `label_mapping`; 255 is ignored.

Refuses to know where masks lie.

Source: https://docs.ultralytics.com/datasets/semantic, "PNG mask format".
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from segwright.data.importers.by_number import draw_by_number
from segwright.data.importers.items import Canvas, Drawn, checked_names
from segwright.data.importers.yolo_dataset import YoloDataset
from segwright.errors import DataError
from segwright.labels import IGNORE
from segwright.storage import open_blob


def mask_class_names(dataset: YoloDataset) -> tuple[str, ...]:
    """The names of the numbers from 0 on. Raises DataError for gaps, LabelError for names that are none."""
    if sorted(dataset.names) != list(range(len(dataset.names))):
        raise DataError(
            f"{dataset.place}: names has the numbers {sorted(dataset.names)}; they start at 0 without gaps."
        )
    return checked_names([name for _, name in sorted(dataset.names.items())], f"{dataset.place}, names")


def mask_drawer(dataset: YoloDataset) -> Callable[[Path, Canvas], Drawn]:
    """What makes classes of the numbers in a mask file. Raises DataError for a `label_mapping` that is none."""
    table = {number: number for number in (*range(len(dataset.names)), IGNORE)}
    for number, target in dataset.label_mapping.items():
        if not number.removeprefix("-").isdecimal() or not (target.isdecimal() or target == "ignore_label"):
            raise DataError(
                f"{dataset.place}: label_mapping has {number!r}: {target!r}; it maps a number in the masks to a class "
                "number or to ignore_label."
            )
        table[int(number)] = IGNORE if target == "ignore_label" else int(target)
    if wrong := [target for target in table.values() if target >= len(dataset.names) and target != IGNORE]:
        raise DataError(f"{dataset.place}: label_mapping leads to class {wrong[0]}, which names does not have.")
    cure = f"but {dataset.place} names no such class: add it to names, or to label_mapping."
    return partial(_draw, table, cure)


def _draw(table: Mapping[int, int], cure: str, file: Path, canvas: Canvas) -> Drawn:
    return draw_by_number(open_blob(file), canvas, table, cure)
