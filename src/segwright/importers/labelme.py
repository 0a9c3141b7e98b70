"""LabelMe: JSON files in a folder, each with the shapes of one image.

Knows labels and where LabelMe keeps the image. Shapes are drawn in their order, later ones over earlier ones; what no
shape covers is `_background_`, and `__ignore__` is ignored, as in LabelMe's own export. LabelMe shows images as the
camera noted they stand (EXIF). Refuses to know what a shape covers.

Source: labelme, `_label_file.py` and `examples/semantic_segmentation/labelme2voc.py`.
"""

import difflib
import logging
from collections import defaultdict
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
from segwright.importers.files import files_below, is_there, read_text
from segwright.importers.images import ImageFinder
from segwright.importers.json_models import from_base64, read_document
from segwright.importers.labelme_shapes import Shape
from segwright.importers.polygons import ShapeError
from segwright.labels import IGNORE, parse_class_names
from segwright.storage import Blob, open_blob
from segwright.wording import listed, sentences

logger = logging.getLogger(__name__)
BACKGROUND: Final = "_background_"

IGNORED: Final = "__ignore__"
UNREADABLE: Final = "shapes that cannot be read, such as those of points that are no numbers"


class _LabelFile(BaseModel):
    entries: list[Annotated[Shape | Any, Field(union_mode="left_to_right")]] = Field(alias="shapes")
    image_path: str | None = Field(None, alias="imagePath")
    image_data: str | None = Field(None, alias="imageData")
    image_height: int | None = Field(None, alias="imageHeight")
    image_width: int | None = Field(None, alias="imageWidth")

    @property
    def shapes(self) -> list[Shape]:
        """The entries that can be read."""
        return [entry for entry in self.entries if isinstance(entry, Shape)]

    def stated_size(self, canvas: Canvas) -> tuple[int, int]:
        """(height, width) as the file says, else as the image's labels lie."""
        height, width = canvas.size
        return self.image_height or height, self.image_width or width


@dataclass(frozen=True)
class _Item:
    """A label file, the labels in it, and its image."""

    key: str
    file: Blob
    labels: frozenset[str]
    image: Blob


@dataclass(frozen=True)
class _EmbeddedImage:
    """The image that a label file carries in itself."""

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


def read_labelme(source: Path, class_names: Path | None = None, images: Path | None = None) -> ImportedData:
    """Read all JSON files below a folder. Classes are those of the file `class_names`, else `_background_` and all
    other labels, sorted. Images lie where the files say, or below the folder `images`.

    Where `class_names` lists no background, pixels without a shape are ignored. JSON files of other programs, those
    that cannot be read and those without an image are left out with a warning. Raises DataError where none is left,
    and LabelError for labels that `class_names` lacks.
    """
    files = [(path, blob) for path, blob in files_below(source).items() if path.suffix.lower() == ".json"]
    finder = ImageFinder(images, everywhere=True) if images else None
    found, others, problems = [], [], []
    for path, blob in files:
        try:
            item = _item(path, blob, source, finder)
        except DataError as error:
            problems.append(str(error))
        else:
            found.append(item) if item else others.append(blob.name)
    if not found and not problems:
        raise DataError(f"{source} holds no JSON files of LabelMe, which have shapes and imagePath.")
    if others:
        logger.warning(f"{len(others)} JSON files are not LabelMe's and are left out: {listed(others)}")
    if problems:
        what = f"{len(problems)} of {len(found) + len(problems)} label files cannot be used: {sentences(problems)}"
        if not found:
            raise DataError(what)
        logger.warning(f"{what} They are left out.")
    _tell_shared_images(found)
    _tell_unlabelled(source, found)
    names = _class_names(found, source, class_names)
    values = {name: number for number, name in enumerate(names)} | {IGNORED: IGNORE}
    background = next((number for name, number in values.items() if is_background(name)), IGNORE)
    values |= {label: background for item in found for label in item.labels if is_background(label)}
    pairs = [
        ImportedPair(
            f"{item.key}{_ending(item.image)}",
            item.image,
            partial(_draw, item.file, values, background),
            frame=partial(_frame, item.file),
        )
        for item in found
    ]
    return ImportedData(tuple(pairs), names, frame="shown")


def _item(path: PurePosixPath, blob: Blob, source: Path, finder: ImageFinder | None) -> _Item | None:
    """What a JSON file says of labels and image; None where it is another program's."""
    data = blob.read()
    if b'"shapes"' not in data or b'"imagePath"' not in data:
        return None
    content = read_document(_LabelFile, data, blob.name)
    labels = frozenset(shape.label.strip() for shape in content.shapes if _problem(shape) is None)
    return _Item(str(path.with_suffix("")), blob, labels, _image(content, blob, (source / path).parent, finder))


def _problem(shape: Shape) -> ShapeError | None:
    """Why a shape cannot be drawn, so that its label is none."""
    try:
        shape.check()
    except ShapeError as error:
        return error
    return None


def _image(content: _LabelFile, blob: Blob, folder: Path, finder: ImageFinder | None) -> Blob:
    """The image file, looked for from the folder of the label file and where the user says; else what the label file
    carries; else an image that has the label file's name.
    """
    name = (content.image_path or "").replace("\\", "/")
    # An absolute path is that of another machine, and what does not end like an image is none.
    if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        for place in (folder / name.lstrip("/"), folder / PurePosixPath(name).name):
            if is_there(place):
                return open_blob(place)
    if finder and name and (found := finder.find(name)):
        return found.image
    if content.image_data:
        return _EmbeddedImage(blob)
    places = f"{folder} or {finder.folder}" if finder else str(folder)
    raise DataError(
        f"{blob.name} has the imagePath {content.image_path!r}, but there is no such image in {places}, and no "
        "imageData: give the folder of the images with --images DIR."
    )


def _tell_shared_images(items: Sequence[_Item]) -> None:
    """Warn of label files that are of one image: they may end up on both sides."""
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        owners[item.image.name].append(item.file.name)
    if shared := [" and ".join(files) for files in owners.values() if len(files) > 1]:
        logger.warning(f"label files of the same image, each of which becomes a pair: {listed(shared, separator='; ')}")


def _tell_unlabelled(source: Path, items: Sequence[_Item]) -> None:
    """Count the images that lie among the label files and belong to none."""
    labelled = {item.image.name for item in items}
    images = [blob.name for path, blob in files_below(source).items() if path.suffix.lower() in IMAGE_SUFFIXES]
    if others := [name for name in images if name not in labelled]:
        logger.info(f"{len(others)} images in {source} belong to no label file and are left out: {listed(others)}")


def _ending(image: Blob) -> str:
    """The ending of an image's name; an embedded image gets one when it is written."""
    return "" if isinstance(image, _EmbeddedImage) else PurePosixPath(image.name).suffix


def _class_names(items: Sequence[_Item], source: Path, given: Path | None) -> tuple[str, ...]:
    """The classes, after making sure that they include all labels."""
    owners = {label: item.file.name for item in items for label in item.labels if label != IGNORED}
    if given is None:
        labels = sorted(label for label in owners if not is_background(label))
        return checked_names([BACKGROUND, *labels], f"{source}, labels")
    listed = parse_class_names(read_text(given), str(given))
    names = checked_names([name for name in listed if name != IGNORED], str(given))
    if not any(map(is_background, names)):
        logger.info(f"{given} names no {BACKGROUND}: pixels without a shape are ignored")
    for label, owner in sorted(owners.items()):
        if label not in names and not is_background(label):
            near = difflib.get_close_matches(label, names, 1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise LabelError(f"{owner} has the label {label!r}, which {given} does not name.{guess}")
    return names


def _read(blob: Blob) -> _LabelFile:
    return read_document(_LabelFile, blob.read(), blob.name)


def _frame(blob: Blob, canvas: Canvas) -> Frame | None:
    """What the stated size tells, where it is that of the upright image, or else the points, or else again the size."""
    content = _read(blob)
    sizes = content.image_height and content.image_width
    stated = canvas.frame_of_size(content.stated_size(canvas)) if sizes else None
    points = [shape.points for shape in content.shapes if _problem(shape) is None]
    by_points = canvas.frame_of_points(*np.concatenate(points).max(0)) if points else None
    return stated if stated == "shown" else by_points or stated


def _draw(blob: Blob, values: Mapping[str, int], background: int, canvas: Canvas) -> Drawing:
    content = _read(blob)
    stated = content.stated_size(canvas)
    if stated not in (canvas.stored, canvas.shown):
        canvas.check_size(stated, f"what {blob.name} describes")
    drawing = Drawing.blank(canvas.size, background)
    if unreadable := len(content.entries) - len(content.shapes):
        drawing.leave_out(UNREADABLE, unreadable)
    for shape in content.shapes:
        with drawing.leaving_out():
            shape.check()
            shape.draw(drawing, values[shape.label.strip()])
    return drawing
