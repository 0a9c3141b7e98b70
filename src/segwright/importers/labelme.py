"""LabelMe: JSON files in a folder, each with the shapes of one image, of which later ones lie over earlier ones.

Source: labelme, `_label_file.py` and `examples/semantic_segmentation/labelme2voc.py`.
"""

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, Field

from segwright.errors import DataError, LabelError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.importers.canvas import Canvas, Frame
from segwright.importers.dataset import ImportedData, ImportedPair, checked_names, is_background
from segwright.importers.drawing import Drawing
from segwright.importers.files import files_below, is_there, read_text, warn_left_out
from segwright.importers.images import ImageFinder
from segwright.importers.json_models import from_base64, read_document
from segwright.importers.labelme_shapes import Shape
from segwright.labels import IGNORE, parse_class_names
from segwright.storage import Blob, open_blob
from segwright.wording import counted, sentences

logger = logging.getLogger(__name__)

BACKGROUND: Final = "_background_"
IGNORED: Final = "__ignore__"
UNREADABLE: Final = "shapes that cannot be read, such as those of points that are no numbers"


class _LabelFile(BaseModel):
    entries: list[Annotated[Shape | Any, Field(union_mode="left_to_right")]] = Field(alias="shapes")
    image_path: str | None = Field(None, alias="imagePath")
    image_data: str | None = Field(None, alias="imageData")
    height: int | None = Field(None, alias="imageHeight")
    width: int | None = Field(None, alias="imageWidth")

    @property
    def shapes(self) -> list[Shape]:
        """The entries that can be read."""
        return [entry for entry in self.entries if isinstance(entry, Shape)]


@dataclass(frozen=True)
class _EmbeddedImage:
    """The image within a label file, which is decoded when it is read."""

    file: Blob
    remote: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        return f"{self.file.name}, imageData"

    @property
    def version(self) -> str:
        return self.file.version

    def read(self) -> bytes:
        return from_base64(_read(self.file).image_data or "", self.name)


@dataclass(frozen=True)
class _Item:
    """An image by its path, with its label file and the labels that are drawn."""

    name: str
    file: Blob
    labels: frozenset[str]
    image: Blob


def read_labelme(source: Path, class_names: Path | None = None, images: Path | None = None) -> ImportedData:
    """Read all JSON files below a folder. Classes are those of the file `class_names`, else `_background_` and all
    other labels, sorted; `__ignore__` is ignored. Images lie where the files say, or below the folder `images`.

    Where `class_names` lists no background, pixels without a shape are ignored. JSON files of other programs, those
    that cannot be read and those without an image are left out with a warning. Raises DataError where none is left,
    and LabelError for labels that `class_names` lacks.
    """
    items = _read_items(source, ImageFinder(images, everywhere=True) if images else None)
    used = {item.image.name for item in items}
    unlabelled = [blob.name for blob in files_below(source, *IMAGE_SUFFIXES).values() if blob.name not in used]
    warn_left_out(source, "image", unlabelled, "without labels")
    names = _class_names(items, source, class_names)
    values = {name: number for number, name in enumerate(names)} | {IGNORED: IGNORE}
    background = next((number for name, number in values.items() if is_background(name)), IGNORE)
    values |= {label: background for item in items for label in item.labels if is_background(label)}
    pairs = [
        ImportedPair(
            item.name, item.image, partial(_draw, item.file, values, background), frame=partial(_frame, item.file)
        )
        for item in items
    ]
    return ImportedData(tuple(pairs), names, frame="shown")


def _read_items(source: Path, finder: ImageFinder | None) -> list[_Item]:
    """The label files that can be used; the others are left out with a warning."""
    items, others, problems = [], [], []
    for path, blob in files_below(source, ".json").items():
        data = blob.read()
        if b'"shapes"' not in data or b'"imagePath"' not in data:
            others.append(blob.name)
            continue
        try:
            content = read_document(_LabelFile, data, blob.name)
            image = _find_image(content, blob, (source / path).parent, finder)
        except DataError as error:
            problems.append(str(error))
            continue
        labels = frozenset(shape.label.strip() for shape in content.shapes if shape.problem is None)
        suffix = "" if isinstance(image, _EmbeddedImage) else PurePosixPath(image.name).suffix
        items.append(_Item(f"{path.with_suffix('')}{suffix}", blob, labels, image))
    if not items and not problems:
        raise DataError(f"{source} holds no JSON files of LabelMe, which have shapes and imagePath.")
    warn_left_out(source, "JSON file", others, "not of LabelMe")
    what = f"{len(problems)} of {counted(len(items) + len(problems), 'label file')} left out: {sentences(problems)}"
    if not items:
        raise DataError(what)
    if problems:
        logger.warning(what)
    return items


def _read(blob: Blob) -> _LabelFile:
    return read_document(_LabelFile, blob.read(), blob.name)


def _find_image(content: _LabelFile, blob: Blob, folder: Path, finder: ImageFinder | None) -> Blob:
    """The image file, looked for from the folder of the label file and in that of the user; else what the label file
    carries.
    """
    name = (content.image_path or "").replace("\\", "/")
    # an absolute path is that of another machine, and what does not end like an image is none
    if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        for path in (folder / name.lstrip("/"), folder / PurePosixPath(name).name):
            if is_there(path):
                return open_blob(path)
    if finder and name and (found := finder.find(name)):
        return found.image
    if content.image_data:
        return _EmbeddedImage(blob)
    where = f"{folder} or {finder.folder}" if finder else str(folder)
    raise DataError(
        f"{blob.name} has the imagePath {content.image_path!r}, but there is no such image in {where}, and no "
        "imageData: give the folder of the images with --images DIR."
    )


def _class_names(items: Sequence[_Item], source: Path, given: Path | None) -> tuple[str, ...]:
    """The classes, after making sure that they include all labels."""
    owners = {label: item.file.name for item in items for label in item.labels if label != IGNORED}
    foreground = sorted(label for label in owners if not is_background(label))
    if given is None:
        return checked_names([BACKGROUND, *foreground], f"{source}, labels")
    listed_names = parse_class_names(read_text(given), str(given))
    names = checked_names([name for name in listed_names if name != IGNORED], str(given))
    if not any(map(is_background, names)):
        logger.info(f"{given} names no {BACKGROUND}: pixels without a shape are ignored")
    for label in foreground:
        if label not in names:
            near = difflib.get_close_matches(label, names, 1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise LabelError(f"{owners[label]} has the label {label!r}, which {given} does not name.{guess}")
    return names


def _frame(blob: Blob, canvas: Canvas) -> Frame | None:
    """What the stated size proves where it is the shown one, or else the points, or else again the size."""
    content = _read(blob)
    stated = canvas.frame_of_size((content.height, content.width))
    points = [shape.points for shape in content.shapes if shape.problem is None]
    by_points = canvas.frame_of_points(*np.concatenate(points).max(0)) if points else None
    return stated if stated == "shown" else by_points or stated


def _draw(blob: Blob, values: Mapping[str, int], background: int, canvas: Canvas) -> Drawing:
    content = _read(blob)
    canvas.check_stated_size((content.height, content.width), f"what {blob.name} describes")
    drawing = Drawing.blank(canvas.size, background)
    drawing.leave_out(UNREADABLE, len(content.entries) - len(content.shapes))
    for shape in content.shapes:
        with drawing.leaving_out("shapes of type mask that cannot be read"):
            shape.draw(drawing, values.get(shape.label.strip(), IGNORE))
    return drawing
