"""COCO: one annotation file, or one for training and one for validation, and the images that they name.

Source: https://cocodataset.org/#format-data, "Object Detection".
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.importers.canvas import Canvas, Frame
from segwright.importers.coco_regions import Annotation, Identity, annotated_frame, draw_annotations
from segwright.importers.dataset import BACKGROUND, ImportedData, ImportedPair, checked_names, class_name
from segwright.importers.drawing import Drawing
from segwright.importers.files import files_below, warn_left_out
from segwright.importers.images import find_images, stated_parts
from segwright.importers.json_models import read_document, readable
from segwright.storage import open_blob
from segwright.wording import counted, listed

logger = logging.getLogger(__name__)

_SPLITS: Final[dict[str, Split | None]] = {"train": "train", "val": "validation", "test": None}


class _Image(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: Identity
    name: str = Field(alias="file_name")
    height: int | None = None
    width: int | None = None


class _Category(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: Identity
    name: Annotated[str, AfterValidator(class_name)]
    supercategory: Any = None


class _AnnotationFile(BaseModel):
    images: list[Annotated[_Image | Any, Field(union_mode="left_to_right")]]
    annotations: list[Annotated[Annotation | Any, Field(union_mode="left_to_right")]]
    categories: list[_Category]


_Entry = TypeVar("_Entry", _Image, _Category)


@dataclass(frozen=True)
class _Part:
    """What an annotation file holds, as far as it can be read and refers to something."""

    path: Path
    split: Split | None
    images: Mapping[Identity, _Image]
    annotations: Sequence[Annotation]
    categories: Mapping[Identity, _Category]


@dataclass(frozen=True)
class _Labels:
    """The annotations of one image, with the class of each category."""

    image: _Image
    annotations: Sequence[Annotation]
    classes: Mapping[Identity, int]
    origin: Path

    def frame(self, canvas: Canvas) -> Frame | None:
        """What the stated size proves where it is the shown one, else the annotations: Label Studio states the size of
        the stored image and draws on the shown one.
        """
        stated = canvas.frame_of_size((self.image.height, self.image.width))
        return stated if stated == "shown" else annotated_frame(self.annotations, canvas)

    def draw(self, canvas: Canvas) -> Drawing:
        size = (self.image.height, self.image.width)
        canvas.check_stated_size(size, f"what {self.origin}, image {self.image.name} describes")
        return draw_annotations(self.annotations, self.classes, canvas.size)


def read_coco(source: Path, images: Path | None = None) -> ImportedData:
    """Read an annotation file, or the one or two in a folder; two divide the pairs where their names say train and
    val.

    Images lie in `images`, or where COCO, CVAT, Label Studio and Roboflow put them. Class 0 is background, the
    others are the categories in the order of the file, but for those that only group others. Entries that cannot be
    read or refer to nothing, and images that are not there, are left out with a warning. Raises DataError for files of
    other forms and where no image is left.
    """
    parts = [_read(path, split) for path, split in _annotation_files(source).items()]
    categories = [category for part in parts for category in part.categories.values()]
    used = {part.categories[one.category_id].name for part in parts for one in part.annotations}
    names = _class_names(categories, used, f"{source}, background and categories")
    pairs = [pair for part in parts for pair in _pairs(part, images, names)]
    return ImportedData(tuple(pairs), names, divided_by="the two annotation files" if len(parts) > 1 else None)


def _annotation_files(source: Path) -> dict[Path, Split | None]:
    """The file itself; or those of a folder and its sub-folders, instances_*.json where there are such."""
    if not source.is_dir():
        return {source: None}
    paths = [source / path for path in files_below(source, ".json") if len(path.parts) <= 2]
    found = [path for path in paths if path.name.startswith("instances_")] or paths
    if len(found) > 1:
        found = [path for path in found if b'"categories"' in open_blob(path).read()] or found
    if not found:
        raise DataError(f"{source} holds no annotation file (*.json) here or one folder below: give its path.")
    words = {path: _find_word(path.stem) or _find_word(path.parent.name) for path in found}
    by_word = {word: [path for path in found if words[path] == word] for word in ("train", "val", "test", "")}
    chosen: dict[Path, Split | None] = {path: _SPLITS[words[path]] for path in by_word["train"] + by_word["val"]}
    if len(found) == 1:
        chosen = {found[0]: None}
    elif len(by_word["train"]) == 1 and len(by_word["test"]) == len(found) - 1:
        chosen = {by_word["train"][0]: None}
    elif len(by_word["train"]) != 1 or len(by_word["val"]) != 1:
        raise DataError(
            f"{source} holds {len(found)} files *.json, whose names do not tell one for training and one for "
            f"validation: {listed(found)}. Give the path of the one that counts."
        )
    if others := [str(path.relative_to(source)) for path in found if path not in chosen]:
        logger.info(f"{', '.join(others)} not used, being neither for training nor for validation")
    return chosen


def _find_word(name: str) -> str:
    """The word for a split in the name of a file or folder."""
    return next((word for word in _SPLITS if word in name.lower()), "")


def _read(path: Path, split: Split | None) -> _Part:
    """Read an annotation file; what in it cannot be read, or refers to nothing, is left out with a warning."""
    data = open_blob(path).read()
    if b'"segments_info"' in data:
        raise DataError(f"{path} holds panoptic annotations, which are not read: give the instances_*.json of the set.")
    if data.lstrip().startswith(b"["):
        raise DataError(f"{path} is a list of results, not an annotation file with images, annotations and categories.")
    content = read_document(_AnnotationFile, data, str(path))
    read_images, bad_images = readable(_Image, content.images, "images")
    annotations, bad_annotations = readable(Annotation, content.annotations, "annotations")
    for problem in filter(None, (bad_images, bad_annotations)):
        logger.warning(f"{path}: {problem}")
    if not read_images:
        raise DataError(f"{path} names no images. {bad_images}".rstrip())
    images = _by_id(path, "image", read_images)
    categories = _by_id(path, "category", content.categories)
    known = [one for one in annotations if one.image_id in images and one.category_id in categories]
    unknown = [one for one in annotations if one.image_id not in images or one.category_id not in categories]
    ids = [f"image_id {one.image_id!r}, category_id {one.category_id!r}" for one in unknown]
    warn_left_out(path, "annotation", ids, "as their image or category is not listed", len(annotations))
    return _Part(path, split, images, known, categories)


def _by_id(path: Path, what: str, entries: Sequence[_Entry]) -> dict[Identity, _Entry]:
    """The first entry of each id; DataError where others of the id have another name."""
    found: dict[Identity, _Entry] = {}
    for entry in entries:
        first = found.setdefault(entry.id, entry)
        if first.name != entry.name:
            raise DataError(
                f"{path}: {what} id {entry.id!r} occurs twice, for {first.name} and {entry.name}; ids must differ."
            )
    return found


def _class_names(categories: Sequence[_Category], used: Collection[str], where: str) -> tuple[str, ...]:
    """Background, then the categories in their order, of which `used` have annotations; without those that only group
    others.
    """
    names = list(dict.fromkeys([BACKGROUND, *(category.name for category in categories)]))
    folded = {(str(category.supercategory).strip().casefold(), category.name.casefold()) for category in categories}
    parents = {parent for parent, name in folded if parent != name}
    groups = [name for name in names[1:] if name not in used and name.casefold() in parents]
    if groups:
        logger.info(f"categories left out, which only group others: {listed(groups)}")
    return checked_names([name for name in names if name not in groups], where)


def _pairs(part: _Part, given: Path | None, names: Sequence[str]) -> Iterator[ImportedPair]:
    """The images that are there, each with its annotations; one that is listed several times is one pair."""
    classes = {one.id: names.index(one.name) for one in part.categories.values() if one.name in names}
    grouped: defaultdict[Identity, list[Annotation]] = defaultdict(list)
    for annotation in part.annotations:
        grouped[annotation.image_id].append(annotation)
    entries: defaultdict[str, list[_Image]] = defaultdict(list)
    for image in part.images.values():
        entries["/".join(stated_parts(image.name))].append(image)
    found = find_images(entries, _folders(part.path, given), given, str(part.path))
    annotations = {name: [one for image in entries[name] for one in grouped[image.id]] for name in found}
    if empty := sum(not each for each in annotations.values()):
        logger.info(f"{part.path}: {empty} of {counted(len(found), 'image')} without annotations, all background")
    for name, image_file in found.items():
        marks = _Labels(entries[name][0], annotations[name], classes, part.path)
        yield ImportedPair(image_file.name, image_file.image, marks.draw, part.split, marks.frame)


def _folders(annotations: Path, given: Path | None) -> list[Path]:
    """Where the images of an annotation file may lie: COCO calls their folder as the file ends, train2017; others as
    the folder of the file.
    """
    endings = [annotations.stem.rpartition("_")[2], *([annotations.parent.name] if given else [])]
    roots = [given] if given else [annotations.parent, annotations.parent.parent]
    bases = [base for root in roots for base in (root, root / "images")]
    return [folder for base in bases for folder in (base, *(base / ending for ending in endings))]
