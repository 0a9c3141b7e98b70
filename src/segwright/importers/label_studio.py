"""Label Studio: the export JSON or JSON-MIN, or a folder of such files, and the images that its tasks name.

Knows tasks and annotations: one annotation counts for each task, the first that is not cancelled, before it one that is
marked as ground truth; predictions do not count. Tasks that share an image are told. Refuses to know how regions are
drawn (`label_studio_regions`) and what the names of mask files say (`label_studio_masks`).

Source: https://labelstud.io/guide/export, "Label Studio JSON format of annotated tasks" and "JSON_MIN".
"""

import base64
import binascii
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

import pydantic_core

from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.importers.canvas import Canvas, Frame, mask_frame
from segwright.importers.dataset import Classes, ImportedData, ImportedPair, after_background
from segwright.importers.drawing import Drawing
from segwright.importers.files import files_below
from segwright.importers.images import FoundImage, find_images, stated_parts, strip_common_folder
from segwright.importers.label_studio_masks import MaskFile, draw_masks, file_name_part, read_mask_names
from segwright.importers.label_studio_regions import Regions, draw_regions, read_regions
from segwright.storage import open_blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

_RESOLVED: Final = "/resolve/?fileuri="  # Label Studio's address of a file in a cloud, which follows as base64


@dataclass(frozen=True, eq=False)
class _Task:
    """A task with the annotation that counts."""

    identity: str
    annotation: str | None
    image: str
    """As the file names it: a path or an address."""
    regions: Regions
    masks: tuple[MaskFile, ...] = ()
    tags: frozenset[str] = frozenset()


@dataclass(eq=False)
class _Counts:
    """What is left out of a file, by task."""

    unlabelled: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    imageless: list[str] = field(default_factory=list)


def read_label_studio(source: Path, images: Path | None = None, masks: Path | None = None) -> ImportedData:
    """Read an export, and with `masks` the brush masks of its regions from files.

    Images are looked for by name below `images`, or below the folder of the export. Class 0 is background, the others
    are the labels, sorted. Raises DataError for files of other forms, for brush regions whose pixels are nowhere, and
    where no task is left.
    """
    counts = _Counts()
    tasks = [task for name, document in _documents(source) for task in _tasks(document, name, counts)]
    _tell(counts, source)
    if not tasks:
        raise DataError(f"{source} holds no task with an image and an annotation: export the labelled tasks as JSON.")
    tasks = _with_masks(tasks, masks) if masks else _with_run_lengths(tasks, source)
    folder = images or (source if source.is_dir() else source.parent)
    found = find_images({task.image: None for task in tasks}, [folder], folder, str(source))
    tasks = _one_for_each_image([task for task in tasks if task.image in found], found)
    labels = sorted({label for task in tasks for label in task.regions.labels | {mask.label for mask in task.masks}})
    if not labels:
        raise DataError(f"{source} holds no region with a label: there is nothing to learn.")
    classes = after_background(labels, f"{source}, labels")
    if empty := sum(not task.regions.labels and not task.masks for task in tasks):
        logger.info(f"{source}: {empty} of {len(tasks)} annotations hold no region and are all background")
    paths = strip_common_folder([found[task.image].name for task in tasks])
    pairs = [
        ImportedPair(path, found[task.image].image, partial(_draw, task, classes), frame=partial(_frame, task))
        for task, path in zip(tasks, paths, strict=True)
    ]
    return ImportedData(tuple(pairs), classes.names, frame="shown")


def _documents(source: Path) -> Iterator[tuple[str, Any]]:
    """The file itself; or those of a folder: *.json, and files without an ending, as they are stored in the cloud."""
    blobs = [open_blob(source)]
    if source.is_dir():
        found = [(path, blob) for path, blob in files_below(source).items()]
        blobs = [blob for path, blob in found if path.suffix.lower() == ".json"]
        blobs = blobs or [blob for path, blob in found if not path.suffix]
    if not blobs:
        raise DataError(f"{source} holds no JSON file: give the path of Label Studio's export.")
    for blob in blobs:
        yield blob.name, _parse(blob.read(), blob.name)


def _parse(data: bytes, name: str) -> Any:
    try:
        return pydantic_core.from_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise DataError(f"{name} is not valid JSON: {error}.") from None


def _tasks(document: Any, name: str, counts: _Counts) -> Iterator[_Task]:
    """The tasks of a document; raises DataError for a document that is no export."""
    entries = document if isinstance(document, list) else [document]
    minimal: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or ("images" in entry and "categories" in entry):
            raise DataError(f"{name} is not a list of Label Studio's tasks: give its export JSON or JSON-MIN.")
        if isinstance(entry.get("task"), dict) and "result" in entry:  # as it is stored in the cloud: an annotation
            entry = {**entry["task"], "annotations": [entry]}
        identity = str(entry.get("id", number))
        data = entry.get("data")
        image = _image_of(data if isinstance(data, dict) else entry)
        if image is None:
            counts.imageless.append(identity)
            continue
        if isinstance(data, dict):
            yield from _annotated(entry, identity, image, counts)
        elif identity in minimal:  # JSON-MIN repeats the task for each of its annotations
            minimal[identity] += 1
        else:
            minimal[identity] = 1
            yield _minimal_task(entry, identity, image)
    counts.several += [identity for identity, times in minimal.items() if times > 1]


def _image_of(data: Mapping[str, Any]) -> str | None:
    """The value that names the image: `image`, or the first that ends as an image does."""
    texts = [_resolved(value) for value in (data.get("image"), *data.values()) if isinstance(value, str)]
    if isinstance(data.get("image"), str):
        return texts[0]
    return next((text for text in texts if _ends_as_image(text)), None)


def _ends_as_image(text: str) -> bool:
    parts = stated_parts(text)
    return bool(parts) and PurePosixPath(parts[-1]).suffix.lower() in IMAGE_SUFFIXES


def _annotated(entry: Mapping[str, Any], identity: str, image: str, counts: _Counts) -> Iterator[_Task]:
    """The task with the annotation that counts, if it has one."""
    found = entry.get("annotations", entry.get("completions"))
    usable = [
        annotation
        for annotation in (found if isinstance(found, list) else [])
        if isinstance(annotation, dict)
        and isinstance(annotation.get("result"), list)
        and not annotation.get("was_cancelled")
    ]
    if not usable:
        counts.unlabelled.append(identity)
        return
    if len(usable) > 1:
        counts.several.append(identity)
    chosen = next((annotation for annotation in usable if annotation.get("ground_truth")), usable[0])
    results = chosen["result"]
    tags = frozenset(
        str(result["from_name"]) for result in results if isinstance(result, dict) and "from_name" in result
    )
    number = None if chosen.get("id") is None else str(chosen["id"])
    yield _Task(identity, number, image, read_regions(results), tags=tags)


def _minimal_task(entry: Mapping[str, Any], identity: str, image: str) -> _Task:
    """A task of JSON-MIN, whose keys are the names of its tags."""
    lists = {key: value for key, value in entry.items() if isinstance(value, list)}
    regions = read_regions([result for value in lists.values() for result in value])
    number = None if entry.get("annotation_id") is None else str(entry["annotation_id"])
    return _Task(identity, number, image, regions, tags=frozenset(lists))


def _tell(counts: _Counts, source: Path) -> None:
    for tasks, what in (
        (counts.imageless, "tasks name no image, or several, and are left out"),
        (counts.unlabelled, "tasks have no annotation, or only cancelled ones, and are left out"),
        (counts.several, "tasks have several annotations: the one marked as ground truth counts, else the first"),
    ):
        if tasks:
            logger.warning(f"{source}: {len(tasks)} {what}, for example task {listed(tasks)}")


def _with_run_lengths(tasks: Sequence[_Task], source: Path) -> list[_Task]:
    """The tasks whose brush regions have their pixels in the file."""
    missing = [task for task in tasks if task.regions.brushes_without_rle]
    if not missing:
        return list(tasks)
    cure = "Export the format JSON, or give the folder of its export Brush labels to PNG with --masks DIR"
    what = f'regions of the brush have no run lengths ("rle"), for example those of task {missing[0].identity}'
    if len(missing) == len(tasks):
        raise DataError(f"{source}: {what}, so their pixels are not in the file. {cure}.")
    logger.warning(f"{source}: {len(missing)} tasks are left out, because {what}. {cure}.")
    return [task for task in tasks if not task.regions.brushes_without_rle]


def _with_masks(tasks: Sequence[_Task], folder: Path) -> list[_Task]:
    """The tasks with their mask files, which stand for all brush regions."""
    tags = {tag for task in tasks for tag in task.tags}
    all_labels = [
        labels
        for task in tasks
        for labels in (*(region.labels for region in task.regions.drawn), *task.regions.brushes_without_rle)
    ]
    joined = {file_name_part(labels): labels[0] for labels in all_labels}
    found = read_mask_names(folder, tags, joined)
    merged = []
    lacking = []
    for task in tasks:
        masks = found.pop(task.identity, [])
        chosen = task.annotation or min((mask.annotation for mask in masks), key=int, default="")
        own = tuple(mask for mask in masks if mask.annotation == chosen)
        others = tuple(region for region in task.regions.drawn if not region.is_brush)
        if not own and (task.regions.brushes_without_rle or len(others) < len(task.regions.drawn)):
            lacking.append(task.identity)
            continue
        merged.append(replace(task, regions=replace(task.regions, drawn=others), masks=own))
    for names, what in (
        (lacking, "tasks have regions of the brush, but no mask, and are left out"),
        (list(found), "tasks have masks, but are not in the file, and are left out"),
    ):
        if names:
            logger.warning(f"{folder}: {len(names)} {what}, for example task {listed(names)}")
    if not merged:
        raise DataError(f"{folder} holds no mask of a task of the file: both have to come from the same project.")
    return merged


def _one_for_each_image(tasks: Sequence[_Task], files: Mapping[str, FoundImage]) -> list[_Task]:
    """The first task of each image."""
    first: dict[str, _Task] = {}
    repeated = [task.identity for task in tasks if first.setdefault(files[task.image].name, task) is not task]
    if repeated:
        logger.warning(
            f"{len(repeated)} tasks are of an image that an earlier one labels, and are left out, for example task "
            f"{listed(repeated)}"
        )
    return list(first.values())


def _resolved(reference: str) -> str:
    """The address of a file in a cloud where Label Studio's own address holds it."""
    encoded = unquote(reference.partition(_RESOLVED)[2].partition("&")[0])
    try:
        return base64.urlsafe_b64decode(encoded).decode() or reference
    except (binascii.Error, ValueError):
        return reference


def _frame(task: _Task, canvas: Canvas) -> Frame | None:
    """What the sizes that regions state, and those of masks, tell of the picture as it was shown."""
    stated = (canvas.frame_of_size(region.size) for region in task.regions.drawn if region.size)
    masks = (mask_frame(file.blob, canvas) for file in task.masks)
    return next(filter(None, (*stated, *masks)), None)


def _draw(task: _Task, classes: Classes, canvas: Canvas) -> Drawing:
    drawing = Drawing.blank(canvas.size, 0)
    drawing.notes.update(task.regions.remarks)
    draw_masks(drawing, task.masks, classes.numbers, canvas)
    draw_regions(drawing, task.regions.drawn, classes.numbers, canvas)
    return drawing
