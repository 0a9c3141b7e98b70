"""LabelMe: JSON files in a folder, each with the shapes of one image.

Knows shapes, labels and where LabelMe keeps the image. Shapes are drawn in their order, later ones over earlier
ones; what no shape covers is `_background_`, and `__ignore__` is ignored, as in LabelMe's own export. LabelMe
shows images as the camera noted they stand (EXIF), so shapes are turned back to the stored pixels. Refuses to fill
lines and points, which have no inside.

Source: labelme, `_label_file.py`, `_utils/shape.py` and `examples/semantic_segmentation/labelme2voc.py`.
"""

import base64
import binascii
import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat

from segwright.console import LOGGER
from segwright.data.importers.documents import read_document
from segwright.data.importers.items import (
    Canvas,
    Drawn,
    ImportedData,
    ImportedPair,
    checked_names,
    is_there,
    read_text,
    refuse_other_size,
)
from segwright.data.importers.shapes import circle, fill_polygon, outline, rectangle
from segwright.errors import DataError, LabelError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.formats.masks import decode_mask
from segwright.labels import IGNORE, parse_class_names
from segwright.storage import Blob, files_below, open_blob

BACKGROUND: Final = "_background_"
IGNORED: Final = "__ignore__"
NO_INSIDE: Final = "lines and points, which have no inside, left out"

_POLYGONS: Final = (None, "polygon", "oriented_rectangle")
_BY_TWO_POINTS: Final = ("rectangle", "circle", "mask")
_FLAT: Final = ("line", "linestrip", "point", "points")
_SHOWN: Final = 3


class _Shape(BaseModel):
    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = None
    mask: str | None = None


class _LabelFile(BaseModel):
    shapes: list[_Shape]
    image_path: str | None = Field(None, alias="imagePath")
    image_data: str | None = Field(None, alias="imageData")
    image_height: int | None = Field(None, alias="imageHeight")
    image_width: int | None = Field(None, alias="imageWidth")


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
        return _from_base64(_read(self.file).image_data or "", self.name)


def read_labelme(source: Path, class_names: Path | None) -> ImportedData:
    """Read all JSON files below a folder. Classes are those of the file `class_names`, else `_background_` and all
    other labels, sorted.

    Where `class_names` lists no `_background_`, pixels without a shape are ignored. JSON files of other programs
    are left out with a warning. Raises DataError for files that cannot be read, shapes that are none, images that
    are not there or of another size, and LabelError for labels that `class_names` lacks.
    """
    files = [(path, blob) for path, blob in files_below(source, lambda _: False) if path.suffix.lower() == ".json"]
    found = [item for path, blob in files if (item := _item(path, blob, source)) is not None]
    if not found:
        raise DataError(f"{source} holds no JSON files of LabelMe, which have shapes and imagePath.")
    if others := sorted({blob.name for _, blob in files} - {item.file.name for item in found}):
        LOGGER.warning(f"{len(others)} JSON files are not LabelMe's and are left out: {', '.join(others[:_SHOWN])}")
    names = _class_names(found, source, class_names)
    values = {name: number for number, name in enumerate(names)} | {IGNORED: IGNORE}
    pairs = [
        ImportedPair(f"{item.key}{_ending(item.image)}", item.image, partial(_draw, item.file, values))
        for item in found
    ]
    return ImportedData(tuple(pairs), names)


def _item(path: PurePosixPath, blob: Blob, source: Path) -> _Item | None:
    """What a JSON file says of labels and image; None where it is another program's."""
    data = blob.read()
    if b'"shapes"' not in data or b'"imagePath"' not in data:
        return None
    content = read_document(_LabelFile, data, blob.name)
    labels = frozenset(shape.label.strip() for shape in content.shapes if shape.shape_type not in _FLAT)
    return _Item(str(path.with_suffix("")), blob, labels, _image(content, blob, (source / path).parent))


def _image(content: _LabelFile, blob: Blob, folder: Path) -> Blob:
    """The image file, looked for from the folder of the label file, or what the label file carries."""
    name = (content.image_path or "").replace("\\", "/")
    # An absolute path is that of another machine, and what does not end like an image is none.
    places = (folder / name.lstrip("/"), folder / PurePosixPath(name).name)
    if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        for place in places:
            if is_there(place):
                return open_blob(place)
    if content.image_data:
        return _EmbeddedImage(blob)
    raise DataError(
        f"{blob.name} has the imagePath {content.image_path!r}, but there is no such image in {folder}, and no "
        "imageData: put the image there, or correct the path."
    )


def _ending(image: Blob) -> str:
    """The ending of an image's name; an embedded image gets one when it is written."""
    return "" if isinstance(image, _EmbeddedImage) else PurePosixPath(image.name).suffix


def _class_names(items: Sequence[_Item], source: Path, given: Path | None) -> tuple[str, ...]:
    """The classes, after making sure that they include all labels."""
    owners = {label: item.file.name for item in items for label in item.labels if label != IGNORED}
    if given is None:
        return checked_names([BACKGROUND, *sorted(owners.keys() - {BACKGROUND})], f"{source}, labels")
    listed = parse_class_names(read_text(given), str(given))
    names = checked_names([name for name in listed if name != IGNORED], str(given))
    for label, owner in sorted(owners.items()):
        if label not in names:
            near = difflib.get_close_matches(label, names, 1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise LabelError(f"{owner} has the label {label!r}, which {given} does not name.{guess}")
    if BACKGROUND not in names:
        LOGGER.info(f"{given} names no {BACKGROUND}: pixels without a shape are ignored")
    return names


def _read(blob: Blob) -> _LabelFile:
    return read_document(_LabelFile, blob.read(), blob.name)


def _draw(blob: Blob, values: Mapping[str, int], canvas: Canvas) -> Drawn:
    content = _read(blob)
    upright = canvas.upright_size
    size = (content.image_height or upright[0], content.image_width or upright[1])
    turned = size == upright
    if not turned:
        refuse_other_size(size, canvas, f"what {blob.name} describes")
    mask = np.full(size, values.get(BACKGROUND, IGNORE), np.uint8)
    remarks: Counter[str] = Counter()
    for number, shape in enumerate(content.shapes):
        if shape.shape_type in _FLAT:
            remarks[NO_INSIDE] += 1
            continue
        try:
            _fill(mask, shape, values[shape.label.strip()])
        except DataError as error:
            raise DataError(f"{blob.name}, shapes.{number} ({shape.label}): {error}") from None
    return Drawn(canvas.turned_back(mask) if turned else mask, remarks)


def _fill(mask: NDArray[np.uint8], shape: _Shape, value: int) -> None:
    """Set the pixels of one shape; raises DataError for what is no shape."""
    kind, points = shape.shape_type, shape.points
    if kind in _BY_TWO_POINTS and len(points) != 2:
        raise DataError(f"a {kind} has two points, not {len(points)}.")
    match kind:
        case "rectangle":
            fill_polygon(mask, rectangle(*points), value)
        case "circle":
            fill_polygon(mask, circle(*points), value)
        case "mask":
            _paste(mask, shape, value)
        case _ if kind in _POLYGONS:
            fill_polygon(mask, outline(points), value)
        case _:
            raise DataError(f"the shape_type {kind!r} is not known; correct it, or draw a polygon.")


def _paste(mask: NDArray[np.uint8], shape: _Shape, value: int) -> None:
    """Set the pixels of a small mask that lies with its first corner at the shape's first point."""
    piece = decode_mask(_from_base64(shape.mask or "", "mask"), "mask") > 0
    if not all(abs(coordinate) <= 1e6 for coordinate in shape.points[0]):
        raise DataError("its first point lies more than a million pixels away, or nowhere.")
    left, top = (round(coordinate) for coordinate in shape.points[0])
    inside = piece[max(-top, 0) :, max(-left, 0) :]
    target = mask[max(top, 0) :, max(left, 0) :]
    height, width = (min(sides) for sides in zip(inside.shape, target.shape, strict=True))
    target[:height, :width][inside[:height, :width]] = value


def _from_base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"{name} is not base64 text.") from None
