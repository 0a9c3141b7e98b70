"""Label Studio's brush masks as files, one for each region: `task-3-annotation-7-by-1-tag-tree-0.png`.

Knows what the names say, and that a mask's pixels are opacities, of which all but 0 count. Where masks overlap, the
smaller lies over the larger, since the names do not tell their order. Refuses to know tasks.

Source: label-studio-converter, `brush.py` (`save_brush_images_from_annotation`).
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.masks import decode_mask
from segwright.importers.canvas import Canvas
from segwright.importers.drawing import Drawing
from segwright.importers.files import files_below
from segwright.storage import Blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

OVERLAP: Final = "pixels in several masks, of which the smaller counts"

_NAME: Final = re.compile(r"task-(\d+)-annotation-(\d+)-by-(.+)-\d+")


@dataclass(frozen=True)
class MaskFile:
    """The mask of one brush region."""

    annotation: str
    label: str
    blob: Blob


def read_mask_names(folder: Path, tags: Collection[str], joined: Mapping[str, str]) -> dict[str, list[MaskFile]]:
    """The masks below a folder, by the task's id.

    `tags` are the names of the labelling tags, as far as they are known, and `joined` the label of what a name may
    have in its place, where that is not the label itself. Raises DataError where no file is named so.
    """
    found: dict[str, list[MaskFile]] = {}
    others: list[str] = []
    for path, blob in files_below(folder).items():
        if path.suffix.lower() != ".png":
            continue
        match = _NAME.fullmatch(path.stem)
        if match is None:
            others.append(path.name)
            continue
        task, annotation, rest = match.groups()
        label = _without_tag(rest, tags)
        found.setdefault(task, []).append(MaskFile(annotation, joined.get(label, label).strip(), blob))
    if not found:
        raise DataError(
            f"{folder} holds no mask that is named as Label Studio does it, such as "
            "task-3-annotation-7-by-1-tag-tree-0.png: unpack its export Brush labels to PNG there."
        )
    if others:
        logger.warning(
            f"{len(others)} files in {folder} are not named as Label Studio names masks and are left out: "
            f"{listed(others)}"
        )
    return found


def file_name_part(labels: Iterable[str]) -> str:
    """How labels stand in the name of a mask file."""
    return re.sub(r"[/\\]", "-", "-".join(labels))


def _without_tag(rest: str, tags: Collection[str]) -> str:
    """The labels behind the names of the user and of the tag; both may have hyphens where the tag is known."""
    for tag in sorted(tags, key=len, reverse=True):
        _, found, labels = rest.partition(f"-{file_name_part([tag])}-")
        if found:
            return labels
    return rest.split("-", 2)[-1]


def draw_masks(drawing: Drawing, files: Sequence[MaskFile], numbers: Mapping[str, int], canvas: Canvas) -> None:
    """Draw masks, the largest first. Raises MismatchError for masks of another size than the picture that was labelled,
    DataError for what is no mask.
    """
    areas = {file: int(_read(file.blob).sum()) for file in files}
    overlap = 0
    for file in sorted(files, key=lambda file: -areas[file]):  # read again: all masks of a picture take much memory
        inside = _read(file.blob)
        canvas.check_size(inside.shape, file.blob.name)
        number = numbers[file.label]
        overlap += int(((drawing.mask[inside] != number) & (drawing.mask[inside] != 0)).sum())
        with drawing.leaving_out():
            drawing.paste(inside, 0, 0, number)
    drawing.notes[OVERLAP] += overlap


def _read(blob: Blob) -> NDArray[np.bool_]:
    return decode_mask(blob.read(), blob.name) > 0
