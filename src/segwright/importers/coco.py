"""COCO: one annotation file, or one for training and one for validation, and the images that they name.

Knows the annotation file and where its images lie. Refuses to know how annotations are drawn, and refuses panoptic
annotations, captions, key points and lists of results.

Source: https://cocodataset.org/#format-data, "Object Detection".
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.importers.canvas import Canvas, Frame
from segwright.importers.coco_categories import Category, class_names
from segwright.importers.coco_regions import Annotation, Identity, annotated_frame, draw_annotations
from segwright.importers.dataset import ImportedData, ImportedPair
from segwright.importers.drawing import Drawing
from segwright.importers.images import find_images, stated_parts
from segwright.importers.json_models import read_document, readable
from segwright.storage import open_blob
from segwright.wording import listed

logger = logging.getLogger(__name__)


class _Image(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: Identity
    file_name: str
    height: int | None = None
    width: int | None = None

    def stated_size(self, canvas: Canvas) -> tuple[int, int]:
        """(height, width) as the file says, else as the image's labels lie."""
        height, width = canvas.size
        return self.height or height, self.width or width


class _AnnotationFile(BaseModel):
    images: list[Annotated[_Image | Any, Field(union_mode="left_to_right")]]
    annotations: list[Annotated[Annotation | Any, Field(union_mode="left_to_right")]]
    categories: list[Category]


_Entry = TypeVar("_Entry", _Image, Category)


@dataclass(frozen=True)
class _Source:
    """One annotation file, read, and the side of its pairs."""

    path: Path
    split: Split | None
    images: Sequence[_Image]
    annotations: Sequence[Annotation]
    categories: Sequence[Category]

    @property
    def used(self) -> set[str]:
        """The names of the categories that have annotations."""
        identities = {annotation.category_id for annotation in self.annotations}
        return {category.class_name for category in self.categories if category.id in identities}


def read_coco(source: Path, images: Path | None = None) -> ImportedData:
    """Read an annotation file, or the one or two in a folder; two divide the pairs where their names say train and
    val.

    Images lie in `images`, or where COCO, CVAT, Label Studio and Roboflow put them. Class 0 is background, the
    others are the categories in the order of the file, but for those that only group others. Entries that cannot be
    read or refer to nothing, and images that are not there, are left out with a warning. Raises DataError for files of
    other forms and where no image is left.
    """
    sources = [_read(path, split) for path, split in _annotation_files(source)]
    categories = [category for one in sources for category in one.categories]
    names = class_names(categories, {name for one in sources for name in one.used}, str(source))
    numbers = {name: number for number, name in enumerate(names)}
    pairs = [pair for one in sources for pair in _pairs(one, images, numbers)]
    return ImportedData(tuple(pairs), names, divided_by="the two annotation files" if len(sources) > 1 else None)


def _annotation_files(source: Path) -> list[tuple[Path, Split | None]]:
    """The file itself; or those of a folder and its sub-folders, instances_*.json where there are such."""
    if not source.is_dir():
        return [(source, None)]
    paths = sorted(path for pattern in ("[!.]*.json", "[!.]*/[!.]*.json") for path in source.glob(pattern))
    paths = [
        path for path in paths if not any(part.startswith((".", "__MAC")) for part in path.relative_to(source).parts)
    ]
    found = [path for path in paths if path.name.startswith("instances_")] or paths
    if len(found) > 1:
        found = [path for path in found if _is_annotation_file(path)] or found
    if not found:
        raise DataError(f"{source} holds no annotation file (*.json) here or one folder below: give its path.")
    sides = {path: _side(path) for path in found}
    train, validation = ([path for path in found if sides[path] == split] for split in ("train", "validation"))
    chosen: list[tuple[Path, Split | None]]
    if len(found) == 1:
        chosen = [(found[0], None)]
    elif len(train) == len(validation) == 1:
        chosen = [(train[0], "train"), (validation[0], "validation")]
    elif len(train) == 1 and all(_is_test(path) for path in found if path not in train):
        chosen = [(train[0], None)]
    else:
        raise DataError(
            f"{source} holds {len(found)} files *.json, whose names do not tell one for training and one for "
            f"validation: {listed([str(path) for path in found])}. Give the path of the one that counts."
        )
    kept = [path for path, _ in chosen]
    if others := [str(path.relative_to(source)) for path in found if path not in kept]:
        logger.info(f"{', '.join(others)} not used, being neither for training nor for validation")
    return chosen


def _is_annotation_file(path: Path) -> bool:
    """Whether a file has the lists of images and annotations; what cannot be read is judged later."""
    data = open_blob(path).read()
    return b'"images"' in data and b'"annotations"' in data


def _side(path: Path) -> Split | None:
    """What a file's name says, or that of its folder."""
    for word in (path.stem.lower(), path.parent.name.lower()):
        if "train" in word:
            return "train"
        if "val" in word:
            return "validation"
    return None


def _is_test(path: Path) -> bool:
    return "test" in path.stem.lower() or "test" in path.parent.name.lower()


def _read(path: Path, split: Split | None) -> _Source:
    """Read an annotation file; what in it cannot be read, or refers to nothing, is left out with a warning."""
    data = open_blob(path).read()
    if b'"segments_info"' in data:
        raise DataError(f"{path} holds panoptic annotations, which are not read: give the instances_*.json of the set.")
    if data.lstrip().startswith(b"["):
        raise DataError(f"{path} is a list of results, not an annotation file with images, annotations and categories.")
    content = read_document(_AnnotationFile, data, str(path))
    images, bad_images = readable(_Image, content.images, "images")
    annotations, bad_annotations = readable(Annotation, content.annotations, "annotations")
    for problem in filter(None, (bad_images, bad_annotations)):
        logger.warning(f"{path}: {problem}")
    if not images:
        raise DataError(f"{path} names no images. {bad_images}".rstrip())
    images = _of_one_id(path, "image", images, lambda image: image.file_name)
    categories = _of_one_id(path, "category", content.categories, lambda category: category.class_name)
    known_images, known_categories = {image.id for image in images}, {category.id for category in categories}
    _tell_unknown(path, "image", [one.image_id for one in annotations if one.image_id not in known_images])
    _tell_unknown(path, "category", [one.category_id for one in annotations if one.category_id not in known_categories])
    annotations = [one for one in annotations if one.image_id in known_images and one.category_id in known_categories]
    return _Source(path, split, images, annotations, categories)


def _of_one_id(path: Path, what: str, entries: Sequence[_Entry], name: Callable[[_Entry], str]) -> list[_Entry]:
    """The first entry of each id; DataError where others of the id have another name."""
    found: dict[int | str, _Entry] = {}
    for entry in entries:
        if name(found.setdefault(entry.id, entry)) != name(entry):
            raise DataError(
                f"{path}: {what} id {entry.id!r} occurs twice, for {name(found[entry.id])} and {name(entry)}; each "
                f"{what} needs an id of its own."
            )
    if len(found) < len(entries):
        logger.warning(f"{path}: {len(entries) - len(found)} entries repeat the {what} of another and are left out")
    return list(found.values())


def _tell_unknown(path: Path, what: str, identities: Sequence[int | str]) -> None:
    if identities:
        shown = listed([f"{identity!r}" for identity in dict.fromkeys(identities)])
        logger.warning(
            f"{path}: annotations whose {what} is not listed, left out: {len(identities)} ({what}_id {shown})"
        )


def _pairs(source: _Source, given: Path | None, numbers: Mapping[str, int]) -> Iterator[ImportedPair]:
    """The images that are there, each with its annotations; one that is listed several times is one pair."""
    classes = {one.id: numbers[one.class_name] for one in source.categories if one.class_name in numbers}
    grouped: defaultdict[int | str, list[Annotation]] = defaultdict(list)
    for annotation in source.annotations:
        grouped[annotation.image_id].append(annotation)
    entries: defaultdict[str, list[_Image]] = defaultdict(list)
    for image in source.images:
        entries["/".join(stated_parts(image.file_name))].append(image)
    if repeated := [name for name, images in entries.items() if len(images) > 1]:
        logger.warning(
            f"{source.path}: {len(repeated)} images are listed twice, and are drawn once: {listed(repeated)}"
        )
    found = find_images(entries, _folders(source.path, given), given, str(source.path))
    annotations = {name: [one for image in entries[name] for one in grouped[image.id]] for name in found}
    if empty := sum(not each for each in annotations.values()):
        logger.info(f"{source.path}: {empty} of {len(found)} images have no annotation and are all background")
    for name, picture in found.items():
        image, marks = entries[name][0], annotations[name]
        draw = partial(_draw, image, marks, classes, f"{source.path}, image {image.file_name}")
        yield ImportedPair(picture.name, picture.image, draw, source.split, partial(_frame, image, marks))


def _folders(annotations: Path, given: Path | None) -> list[Path]:
    """Where the images of an annotation file may lie: COCO calls their folder as the file ends, train2017; others as
    the folder of the file.
    """
    endings = [annotations.stem.rpartition("_")[2], *([annotations.parent.name] if given else [])]
    roots = [given] if given else [annotations.parent, annotations.parent.parent]
    bases = [base for root in roots for base in (root, root / "images")]
    return [folder for base in bases for folder in (base, *(base / ending for ending in endings))]


def _frame(image: _Image, annotations: Sequence[Annotation], canvas: Canvas) -> Frame | None:
    """What the stated size tells, where it is that of the upright image, or else the annotations: Label Studio states
    the size of the stored one and draws on the upright one.
    """
    if canvas.frame_of_size(image.stated_size(canvas)) == "shown":
        return "shown"
    return annotated_frame(annotations, canvas)


def _draw(
    image: _Image, annotations: Sequence[Annotation], classes: Mapping[Identity, int], where: str, canvas: Canvas
) -> Drawing:
    stated = image.stated_size(canvas)
    if stated not in (canvas.stored, canvas.shown):
        canvas.check_size(stated, f"what {where} describes")
    return draw_annotations(annotations, classes, canvas.size)
