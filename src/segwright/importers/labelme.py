"""LabelMe: JSON files in a folder, each with the shapes of one image, of which later ones lie over earlier ones.
X-AnyLabeling's files are in the same form.

Source: labelme, `_label_file.py`, `_utils/shape.py` and `examples/semantic_segmentation/labelme2voc.py`; X-AnyLabeling,
`docs/en/user_guide.md`.
"""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from segwright.errors import DataError, LabelError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.formats.masks import decode_mask
from segwright.importers.dataset import (
    IGNORED,
    ImportedData,
    ImportedPair,
    checked_names,
    is_background,
    read_class_names,
)
from segwright.importers.drawing import Drawing, Points, ShapeError, ellipse, outline, rectangle
from segwright.importers.files import files_below, from_base64, is_there, read_document, warn_left_out
from segwright.importers.geometry import Frame, ImageGeometry
from segwright.importers.images import ImageFinder
from segwright.labels import IGNORE
from segwright.storage import Blob, open_blob
from segwright.wording import counted, did_you_mean, listed, sentences

logger = logging.getLogger(__name__)

BACKGROUND: Final = "_background_"
UNREADABLE: Final = "shapes that cannot be read, such as those of points that are no numbers"

_POLYGONS: Final = (None, "polygon", "oriented_rectangle", "rotation", "quadrilateral")
_FLAT: Final = ("line", "linestrip", "point", "points")
_FARTHEST: Final = 1e6  # pixels


class _Shape(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = None
    mask: str | None = None

    @cached_property
    def problem(self) -> ShapeError | None:
        """Why it cannot be drawn, if so: its label is no class then."""
        try:
            self._outline()
        except ShapeError as error:
            return error
        return None

    def _outline(self) -> Points:
        """The outline, or the corners of a mask; raises ShapeError for a shape that cannot be drawn."""
        if not self.label.strip():
            raise ShapeError("shapes without a label")
        match self.shape_type, self.points:
            case ("mask", points):
                if len(points) != 2 or np.abs(points).max() > _FARTHEST:
                    raise ShapeError("shapes of type mask without two points near the image")
                return np.array(points)
            case ("rectangle", [corner, opposite]):
                return rectangle(corner, opposite)
            case ("rectangle", [_, _, _, _]):  # as X-AnyLabeling writes it
                return outline(self.points)
            case ("circle", [centre, rim]):
                radius = math.dist(centre, rim)
                return ellipse(centre, radius, radius)
            case (("rectangle" | "circle"), _):
                raise ShapeError(f"shapes of type {self.shape_type} with another number of points")
        if self.shape_type in _POLYGONS:
            return outline(self.points)
        if self.shape_type in _FLAT:
            raise ShapeError(f"shapes of type {self.shape_type}, which have no inside")
        raise ShapeError(f"shapes of the unknown type {self.shape_type!r}")

    def draw(self, drawing: Drawing, value: int) -> None:
        """Set the pixels of the shape. Raises ShapeError for its problem, and DataError for a mask that is no image."""
        points = self._outline()
        if self.shape_type != "mask":
            drawing.fill([points], value)
            return
        piece = decode_mask(from_base64(self.mask or "", "mask"), "mask").numbers > 0
        left, top = map(round, points[0].tolist())
        drawing.paste(piece, left, top, value)


class _LabelFile(BaseModel):
    entries: list[Annotated[_Shape | Any, Field(union_mode="left_to_right")]] = Field(alias="shapes")
    image_path: str | None = Field(None, alias="imagePath")
    image_data: str | None = Field(None, alias="imageData")
    height: int | None = Field(None, alias="imageHeight")
    width: int | None = Field(None, alias="imageWidth")

    @property
    def shapes(self) -> list[_Shape]:  # the entries that can be read
        return [entry for entry in self.entries if isinstance(entry, _Shape)]


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


class _Item(NamedTuple):
    name: str
    file: Blob
    labels: frozenset[str]
    image: Blob


def read_labelme(source: Path, class_names: Path | None = None, images: Path | None = None) -> ImportedData:
    """Read all JSON files below a folder; images lie where these say, or below `images`.

    Classes are those of the file `class_names`, where pixels without a shape are ignored if it names no background,
    else `_background_` and all other labels, sorted; `__ignore__` is ignored. What cannot be used is left out with a
    warning. Raises DataError where nothing is left, and LabelError for labels that `class_names` lacks.
    """
    items = _read_items(source, ImageFinder(images, everywhere=True) if images else None)
    used = Counter(item.image.name for item in items)
    if shared := [name for name, count in used.items() if count > 1]:
        logger.warning(f"{source}: images with several label files, each of which becomes a pair: {listed(shared)}")
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
    """The image from the folder of the label file, else from that of the user, else what the label file carries."""
    name = (content.image_path or "").replace("\\", "/")
    # an absolute path is that of another machine, and what does not end like an image is none
    if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        for path in (folder / name.lstrip("/"), folder / PurePosixPath(name).name):
            if is_there(path):
                return open_blob(path)
    if finder and name and (found := finder.find(name)):
        return found.blob
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
    names = read_class_names(given)
    if not any(map(is_background, names)):
        logger.info(f"{given} names no {BACKGROUND}: pixels without a shape are ignored")
    for label in foreground:
        if label not in names:
            guess = did_you_mean(label, names, pixel_format="{!r}")
            raise LabelError(f"{owners[label]} has the label {label!r}, which {given} does not name.{guess}")
    return names


def _frame(blob: Blob, geometry: ImageGeometry) -> Frame | None:
    """What the stated size proves where it is the shown one, or else the points, or else again the size."""
    content = _read(blob)
    stated = geometry.frame_of_size((content.height, content.width))
    points = [shape.points for shape in content.shapes if shape.problem is None]
    by_points = geometry.frame_of_points(*np.concatenate(points).max(0)) if points else None
    return stated if stated == "shown" else by_points or stated


def _draw(blob: Blob, values: Mapping[str, int], background: int, geometry: ImageGeometry) -> Drawing:
    content = _read(blob)
    geometry.check_stated_size((content.height, content.width), f"what {blob.name} describes")
    drawing = Drawing.blank(geometry.size, background)
    drawing.leave_out(UNREADABLE, len(content.entries) - len(content.shapes))
    for shape in content.shapes:
        with drawing.leaving_out("shapes of type mask that cannot be read"):
            shape.draw(drawing, values.get(shape.label.strip(), IGNORE))
    return drawing
