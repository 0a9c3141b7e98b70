"""COCO: one annotation file, or one for training and one for validation, and the images that they name.

Knows the annotation file and where its images lie. Refuses to know how annotations are drawn, and refuses panoptic
annotations, captions, key points and lists of results.

Source: https://cocodataset.org/#format-data, "Object Detection".
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from segwright.console import LOGGER
from segwright.data.importers.coco_regions import Annotation, Identity, draw_annotations
from segwright.data.importers.documents import read_document
from segwright.data.importers.items import (
    Canvas,
    Drawn,
    ImportedData,
    ImportedPair,
    Split,
    checked_names,
    is_there,
    refuse_other_size,
)
from segwright.errors import DataError
from segwright.storage import open_blob

BACKGROUND: Final = "background"

_SHOWN: Final = 3


class _Image(BaseModel):
    id: Identity
    file_name: str
    height: int | None = None
    width: int | None = None


class _Category(BaseModel):
    id: Identity
    name: str


class _AnnotationFile(BaseModel):
    images: list[_Image]
    annotations: list[Annotation]
    categories: list[_Category]


@dataclass(frozen=True)
class _Source:
    """One annotation file, read, and the side of its pairs."""

    path: Path
    split: Split | None
    content: _AnnotationFile


def read_coco(source: Path, images: Path | None) -> ImportedData:
    """Read an annotation file, or the one or two in a folder; two divide the pairs where their names say train and
    val.

    Images lie in `images`, or where COCO, CVAT, Label Studio and Roboflow put them. Class 0 is background, the
    others are the categories in the order of the file. Raises DataError for files of other forms, for what they
    name but lack, and for images that are not there.
    """
    sources = [_Source(path, split, _read(path)) for path, split in _annotation_files(source)]
    names = {BACKGROUND: 0}
    for one in sources:
        for category in one.content.categories:
            names.setdefault(category.name.strip(), len(names))
    checked_names(names, f"{source}, background and categories")
    pairs = [pair for one in sources for pair in _pairs(one, images, names)]
    return ImportedData(tuple(pairs), tuple(names), divided_by="the two annotation files" if len(sources) > 1 else None)


def _annotation_files(source: Path) -> list[tuple[Path, Split | None]]:
    """The file itself; or those of a folder and its sub-folders, instances_*.json where there are such."""
    if not source.is_dir():
        return [(source, None)]
    found = sorted(path for pattern in ("*.json", "*/*.json") for path in source.glob(pattern))
    found = [path for path in found if path.name.startswith("instances_")] or found
    if not found:
        raise DataError(f"{source} holds no annotation file (*.json) here or one folder below: give its path.")
    if len(found) == 1:
        return [(found[0], None)]
    sides = {path: _side(path) for path in found}
    train, validation = ([path for path in found if sides[path] == side] for side in ("train", "validation"))
    if len(train) != 1 or len(validation) != 1:
        shown = ", ".join(map(str, found[:_SHOWN])) + (", ..." if len(found) > _SHOWN else "")
        raise DataError(
            f"{source} holds {len(found)} files *.json, whose names do not tell one for training and one for "
            f"validation: {shown}. Give the path of the one that counts."
        )
    if others := [path.name for path in found if path not in (train[0], validation[0])]:
        LOGGER.info(f"{', '.join(others)} not used")
    return [(train[0], "train"), (validation[0], "validation")]


def _side(path: Path) -> Split | None:
    """What a file's name says, or that of its folder."""
    for word in (path.stem.lower(), path.parent.name.lower()):
        if "train" in word:
            return "train"
        if "val" in word:
            return "validation"
    return None


def _read(path: Path) -> _AnnotationFile:
    data = open_blob(path).read()
    if b'"segments_info"' in data:
        raise DataError(
            f"{path} holds panoptic annotations, which are not read: give the instances_*.json of the data set."
        )
    if data.lstrip().startswith(b"["):
        raise DataError(f"{path} is a list of results, not an annotation file with images, annotations and categories.")
    content = read_document(_AnnotationFile, data, str(path))
    if not content.images:
        raise DataError(f"{path} names no images.")
    return content


def _pairs(source: _Source, images: Path | None, numbers: Mapping[str, int]) -> Iterator[ImportedPair]:
    content = source.content
    _refuse_repeated(source.path, "image", [image.id for image in content.images])
    _refuse_repeated(source.path, "category", [category.id for category in content.categories])
    classes = {category.id: numbers[category.name.strip()] for category in content.categories}
    grouped = _by_image(source, classes)
    _tell_empty(source, grouped)
    folder, names = _locate_images(source, images)
    for image, name in zip(content.images, names, strict=True):
        draw = partial(_draw, image, grouped[image.id], classes, f"{source.path}, image {image.file_name}")
        yield ImportedPair(name, open_blob(folder / name), draw, source.split)


def _refuse_repeated(path: Path, what: str, identities: Sequence[Identity]) -> None:
    repeated = [identity for identity, count in Counter(identities).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: {what} id {repeated[0]!r} occurs twice; each {what} needs an id of its own.")


def _by_image(source: _Source, classes: Mapping[Identity, int]) -> dict[Identity, list[Annotation]]:
    """The annotations of each image, in their order."""
    grouped: dict[Identity, list[Annotation]] = {image.id: [] for image in source.content.images}
    for number, annotation in enumerate(source.content.annotations):
        for what, identity, known in (
            ("image", annotation.image_id, grouped),
            ("category", annotation.category_id, classes),
        ):
            if identity not in known:
                raise DataError(
                    f"{source.path}: annotations.{number} has the {what}_id {identity!r}, but there is no such {what}."
                )
        grouped[annotation.image_id].append(annotation)
    return grouped


def _tell_empty(source: _Source, grouped: Mapping[Identity, Sequence[Annotation]]) -> None:
    empty = sum(not annotations for annotations in grouped.values())
    if empty:
        LOGGER.info(f"{source.path}: {empty} of {len(grouped)} images have no annotation and are all background")


def _locate_images(source: _Source, given: Path | None) -> tuple[Path, list[str]]:
    """The folder in which all images of a file lie, and their paths below it. Raises DataError that says which are
    missing.
    """
    wanted = [image.file_name for image in source.content.images]
    candidates = _candidates(source.path, given)
    folder = next((folder for folder in candidates if _find(folder, wanted[0])), None)
    if folder is None:
        listed = ", ".join(map(str, candidates))
        raise DataError(f"{source.path} names the image {wanted[0]}, which is in none of {listed}: give --images DIR.")
    found = [(name, _find(folder, name)) for name in wanted]
    missing = [name for name, path in found if path is None]
    if missing:
        more = ", ..." if len(missing) > _SHOWN else ""
        raise DataError(
            f"{source.path}: {len(missing)} of {len(wanted)} images are not in {folder}: "
            f"{', '.join(missing[:_SHOWN])}{more}. Add them, or point to their folder with --images DIR."
        )
    return folder, [path for _, path in found if path is not None]


def _find(folder: Path, file_name: str) -> str | None:
    """The path of an image below a folder, by the path in JSON or by its last part, and never out of the folder."""
    parts = [part for part in re.split(r"[/\\]+", file_name) if part not in ("", ".", "..")]
    return next((path for path in ("/".join(parts), *parts[-1:]) if parts and is_there(folder / path)), None)


def _candidates(annotations: Path, given: Path | None) -> list[Path]:
    """Where the images of an annotation file may lie; COCO calls their folder as the file ends: train2017."""
    ending = annotations.stem.rpartition("_")[2]
    roots = [given] if given else [annotations.parent, annotations.parent.parent]
    below = [folder for root in roots for folder in (root, root / ending, root / "images", root / "images" / ending)]
    return list(dict.fromkeys(below))


def _draw(
    image: _Image, annotations: Sequence[Annotation], classes: Mapping[Identity, int], where: str, canvas: Canvas
) -> Drawn:
    """Draw the annotations of an image; where the file gives the size of the upright image, they were made on that."""
    size = (image.height or canvas.height, image.width or canvas.width)
    turned = size == canvas.upright_size != canvas.size
    if not turned:
        refuse_other_size(size, canvas, f"what {where} describes")
    drawn = draw_annotations(annotations, classes, size, where)
    return Drawn(canvas.turned_back(drawn.mask), drawn.remarks) if turned else drawn
