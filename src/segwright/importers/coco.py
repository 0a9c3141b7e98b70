"""COCO: one annotation file, or one for training and one for validation, and the images that they name.

Source: https://cocodataset.org/#format-data, "Object Detection".
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.formats.rle import decode_rle, decompress_counts
from segwright.importers.dataset import BACKGROUND, ImportedData, ImportedPair, checked_names, class_name
from segwright.importers.drawing import Drawing, Points, ShapeError, area, outline
from segwright.importers.files import files_below, read_document, readable, warn_left_out
from segwright.importers.geometry import Frame, ImageGeometry
from segwright.importers.images import find_images, stated_parts
from segwright.storage import open_blob
from segwright.wording import counted, listed

logger = logging.getLogger(__name__)

ONLY_BOXES: Final = "annotations without an outline, only a box"
ODD_POLYGON: Final = "polygons of an odd number of coordinates"
BAD_RUN_LENGTHS: Final = "run lengths that are damaged or do not fit their image"

_SPLITS: Final[dict[str, Split | None]] = {"train": "train", "val": "validation", "test": None}

Identity = Annotated[int | str, Field(union_mode="left_to_right")]
"""A whole number, also where it is written as text or with a point: files refer to "1" as 1."""


class _Entry(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: Identity


class _Image(_Entry):
    name: str = Field(alias="file_name")
    height: int | None = None
    width: int | None = None


class _Category(_Entry):
    name: Annotated[str, AfterValidator(class_name)]
    supercategory: Any = None


class _RunLengths(BaseModel):
    size: tuple[int, int]
    counts: list[int] | str


class Annotation(BaseModel):
    """One annotation, as the file has it. A polygon is x, y, x, y, ...; VIA writes a single one without a list."""

    image_id: Identity
    category_id: Identity
    segmentation: Annotated[
        list[list[FiniteFloat]] | _RunLengths | list[FiniteFloat] | None, Field(union_mode="left_to_right")
    ] = None


class _AnnotationFile(BaseModel):
    images: list[Annotated[_Image | Any, Field(union_mode="left_to_right")]]
    annotations: list[Annotated[Annotation | Any, Field(union_mode="left_to_right")]]
    categories: list[_Category]


_Named = TypeVar("_Named", _Image, _Category)


class _Part(NamedTuple):
    """What an annotation file holds, as far as it can be read and refers to something."""

    path: Path
    split: Split | None
    images: Mapping[Identity, _Image]
    annotations: Sequence[Annotation]
    categories: Mapping[Identity, _Category]


class _Region(NamedTuple):
    """The pixels of one annotation, as outlines or as run lengths of a size; nothing where it could not be read."""

    value: int
    outlines: Sequence[Points] = ()
    counts: Sequence[int] = ()
    size: tuple[int, int] | None = None

    @property
    def area(self) -> float:
        return sum(map(area, self.outlines)) + sum(self.counts[1::2])


def read_coco(source: Path, images: Path | None = None) -> ImportedData:
    """Read an annotation file, or the one or two in a folder; two divide the pairs if their names say train and val.

    Images lie in `images`, or where COCO, CVAT, Label Studio and Roboflow put them. Class 0 is background, the others
    are the categories in their order, but for those that only group others. What cannot be read or refers to nothing is
    left out with a warning. Raises DataError for files of other forms and where no image is left.
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
    by_word: dict[str, list[Path]] = {word: [] for word in (*_SPLITS, "")}
    for path in found:
        names = (path.stem.lower(), path.parent.name.lower())
        by_word[next((word for name in names for word in _SPLITS if word in name), "")].append(path)
    train, val, test = (by_word[word] for word in _SPLITS)
    chosen: dict[Path, Split | None] = {train[0]: "train", val[0]: "validation"} if train and val else {}
    if len(found) == 1:
        chosen = {found[0]: None}
    elif len(train) == 1 and len(test) == len(found) - 1:
        chosen = {train[0]: None}
    elif len(train) != 1 or len(val) != 1:
        raise DataError(
            f"{source} holds {len(found)} files *.json, whose names do not tell one for training and one for "
            f"validation: {listed(found)}. Give the path of the one that counts."
        )
    if others := [str(path.relative_to(source)) for path in found if path not in chosen]:
        logger.info(f"{', '.join(others)} not used, being neither for training nor for validation")
    return chosen


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
    known: list[Annotation] = []
    unknown: list[str] = []
    for one in annotations:
        if one.image_id in images and one.category_id in categories:
            known.append(one)
        else:
            unknown.append(f"image_id {one.image_id!r}, category_id {one.category_id!r}")
    warn_left_out(path, "annotation", unknown, "as their image or category is not listed", len(annotations))
    return _Part(path, split, images, known, categories)


def _by_id(path: Path, what: str, entries: Sequence[_Named]) -> dict[Identity, _Named]:
    """The first entry of each id, of others a warning; DataError where these have another name."""
    found: dict[Identity, _Named] = {}
    for entry in entries:
        first = found.setdefault(entry.id, entry)
        if first.name != entry.name:
            raise DataError(
                f"{path}: {what} id {entry.id!r} occurs twice, for {first.name} and {entry.name}; ids must differ."
            )
    if len(found) < len(entries):
        logger.warning(f"{path}: entries of {what} ids that occur before, left out: {len(entries) - len(found)}")
    return found


def _class_names(categories: Sequence[_Category], used: Collection[str], where: str) -> tuple[str, ...]:
    """Background, then the categories in their order, but for those without annotations that only group others."""
    names = list(dict.fromkeys([BACKGROUND, *(category.name for category in categories)]))
    folded = {(str(category.supercategory).strip().casefold(), category.name.casefold()) for category in categories}
    parents = {parent for parent, name in folded if parent != name}
    groups = [name for name in names[1:] if name not in used and name.casefold() in parents]
    if groups:
        logger.info(f"categories left out, which only group others: {listed(groups)}")
    if unused := [name for name in names[1:] if name not in used and name not in groups]:
        logger.info(f"categories without annotations, which stay classes: {listed(unused)}")
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
    if repeated := [name for name, images in entries.items() if len(images) > 1]:
        logger.warning(f"{part.path}: images listed several times, drawn once with all annotations: {listed(repeated)}")
    found = find_images(entries, _folders(part.path, given), given, str(part.path))
    annotations = {name: [one for image in entries[name] for one in grouped[image.id]] for name in found}
    if empty := sum(not each for each in annotations.values()):
        logger.info(f"{part.path}: {empty} of {counted(len(found), 'image')} without annotations, all background")
    for name, file in found.items():
        image, own = entries[name][0], annotations[name]
        draw = partial(_draw, image, own, classes, part.path)
        yield ImportedPair(file.name, file.blob, draw, part.split, partial(_frame, image, own))


def _folders(annotations: Path, given: Path | None) -> list[Path]:
    """Where images may lie: COCO calls the folder as the file ends, train2017, others as the file's folder."""
    endings = [annotations.stem.rpartition("_")[2], *([annotations.parent.name] if given else [])]
    roots = [given] if given else [annotations.parent, annotations.parent.parent]
    bases = [base for root in roots for base in (root, root / "images")]
    return [folder for base in bases for folder in (base, *(base / ending for ending in endings))]


def _frame(image: _Image, annotations: Sequence[Annotation], geometry: ImageGeometry) -> Frame | None:
    """The frame by a stated size that is the shown one (Label Studio states the stored one), run lengths, or points."""
    if geometry.frame_of_size((image.height, image.width)) == "shown":
        return "shown"
    sizes = [one.segmentation.size for one in annotations if isinstance(one.segmentation, _RunLengths)]
    if frames := [frame for size in sizes if (frame := geometry.frame_of_size(size))]:
        return frames[0]
    regions = [_region(annotation, 0, Drawing.blank((1, 1), 0)) for annotation in annotations]
    corners = [points.max(0) for region in regions for points in region.outlines]
    return geometry.frame_of_points(*np.max(corners, axis=0)) if corners else None


def _draw(
    image: _Image,
    annotations: Sequence[Annotation],
    classes: Mapping[Identity, int],
    origin: Path,
    geometry: ImageGeometry,
) -> Drawing:
    """Draw annotations, the largest first; 0 is where none lies. What cannot be drawn is left out and counted."""
    geometry.check_stated_size((image.height, image.width), f"what {origin}, image {image.name} describes")
    drawing = Drawing.blank(geometry.size, 0)
    regions = [_region(annotation, classes[annotation.category_id], drawing) for annotation in annotations]
    for region in sorted(regions, key=lambda region: -region.area):
        with drawing.leaving_out(BAD_RUN_LENGTHS):
            if region.outlines:
                drawing.fill(region.outlines, region.value)
            if region.size is not None:
                if region.size != geometry.size:
                    raise ShapeError(BAD_RUN_LENGTHS)
                drawing.paste(decode_rle(region.counts, *region.size), 0, 0, region.value)
    return drawing


def _region(annotation: Annotation, value: int, drawing: Drawing) -> _Region:
    """What an annotation covers; what of it cannot be read is counted."""
    segmentation = annotation.segmentation
    outlines = []
    if not segmentation:
        drawing.leave_out(ONLY_BOXES)
    elif isinstance(segmentation, _RunLengths):
        counts, size = segmentation.counts, segmentation.size
        with drawing.leaving_out(BAD_RUN_LENGTHS):
            return _Region(value, (), decompress_counts(counts) if isinstance(counts, str) else counts, size)
    else:
        for numbers in _polygons(segmentation):
            with drawing.leaving_out():
                if len(numbers) % 2:
                    raise ShapeError(ODD_POLYGON)
                outlines.append(outline(list(zip(numbers[::2], numbers[1::2], strict=True))))
    return _Region(value, outlines)


def _polygons(segmentation: list[list[float]] | list[float]) -> Sequence[Sequence[float]]:
    """Each polygon as x, y, x, y, ...; a list of points is one polygon."""
    lists = [one for one in segmentation if isinstance(one, list)]
    if len(lists) < len(segmentation):
        return [[one for one in segmentation if not isinstance(one, list)]]
    if len(lists) > 2 and all(len(numbers) == 2 for numbers in lists):
        return [[number for point in lists for number in point]]
    return lists
