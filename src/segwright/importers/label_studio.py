"""Label Studio: its export JSON or JSON-MIN, or a folder of JSON files, and the images that its tasks name.

Source: https://labelstud.io/guide/export, "Label Studio JSON format of annotated tasks" and "JSON_MIN";
https://labelstud.io/tags/brushlabels, .../bitmasklabels, .../polygonlabels, .../rectanglelabels, .../ellipselabels;
label-studio-converter, `brush.py`, where a pixel counts that is not fully transparent.
"""

import base64
import binascii
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    FiniteFloat,
    PositiveInt,
    RootModel,
    ValidationError,
    model_validator,
)

from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES, EncodedImage
from segwright.formats.pixels import PixelFormat
from segwright.formats.rle import decode_rle_pack
from segwright.importers.dataset import ImportedData, ImportedPair, NumberedClasses, after_background
from segwright.importers.drawing import Drawing, Points, ShapeError, ellipse, left_out_note, outline, rectangle
from segwright.importers.files import files_below, from_base64, read_document, warn_left_out
from segwright.importers.geometry import Frame, ImageGeometry
from segwright.importers.images import find_images, stated_parts, strip_common_folder
from segwright.storage import open_blob
from segwright.wording import counted, listed

logger = logging.getLogger(__name__)

NO_AREA: Final = "key points and other regions without an area"
NO_RUN_LENGTHS: Final = "regions of the brush without run lengths (rle), which the export format JSON holds"
NO_LABEL: Final = "regions without a label"
UNREADABLE: Final = "regions that cannot be read"
SEVERAL_LABELS: Final = "regions with several labels, of which the first counts"

_RESOLVED: Final = "/resolve/?fileuri="  # Label Studio's address of a file in a cloud, which follows as base64
_SHAPES: Final = ("rle", "imageDataURL", "points", "x")
_BANDS: Final = 4  # of brush strokes; the last is opacity


class _Annotation(BaseModel):
    result: list[dict[str, Any]] = []
    was_cancelled: bool | None = None
    ground_truth: bool | None = None


class _Task(BaseModel):
    """A task as the export JSON has it; other forms are brought into this one."""

    id: int | str | None = None
    data: dict[str, Any]
    annotations: list[_Annotation] = []

    @model_validator(mode="before")
    @classmethod
    def _from_other_forms(cls, entry: Any) -> Any:
        if not isinstance(entry, dict) or isinstance(entry.get("data"), dict):
            return entry
        if isinstance(entry.get("task"), dict) and "result" in entry:  # an annotation as target storages keep it
            return {**entry["task"], "annotations": [entry]}
        tags = [values for values in entry.values() if isinstance(values, list)]  # JSON-MIN: beside the task's data
        results = [value for values in tags for value in values if isinstance(value, dict)]
        return {"id": entry.get("id"), "data": entry, "annotations": [{"result": results}]}


class _Export(RootModel[list[_Task]]):
    @model_validator(mode="before")
    @classmethod
    def _as_list(cls, content: Any) -> Any:
        return [content] if isinstance(content, dict) else content


class _Region(BaseModel):
    """A region with a label: what a result and its value hold. Lengths are per cent of the upright image."""

    labels: list[str]
    rle: Annotated[bytes, BeforeValidator(lambda numbers: bytes(list(numbers)))] | None = None
    bit_mask: str | None = Field(None, alias="imageDataURL")
    points: list[tuple[FiniteFloat, FiniteFloat]] | None = None
    x: FiniteFloat = 0
    y: FiniteFloat = 0
    width: FiniteFloat | None = None
    height: FiniteFloat | None = None
    radius_x: FiniteFloat | None = Field(None, alias="radiusX")
    radius_y: FiniteFloat | None = Field(None, alias="radiusY")
    rotation: FiniteFloat = 0
    original_width: PositiveInt | None = None
    original_height: PositiveInt | None = None

    @property
    def size(self) -> tuple[int, int] | None:  # (height, width) of the image as it was shown
        return (self.original_height, self.original_width) if self.original_height and self.original_width else None

    @property
    def has_area(self) -> bool:
        sides = (self.width, self.height), (self.radius_x, self.radius_y)
        return bool(self.rle or self.bit_mask) or self.points is not None or any(None not in pair for pair in sides)


def read_label_studio(source: Path, images: Path | None = None) -> ImportedData:
    """Read an export. Of each task counts the annotation marked as ground truth, or the first that is not cancelled.

    Images are looked for by name below `images`, or below the folder of the export. Class 0 is background, the others
    are the labels, sorted. Raises DataError for files of other forms, and where no task or no label is left.
    """
    annotations = _annotations(_read_tasks(source), source)
    folder = images or (source if source.is_dir() else source.parent)
    found = find_images(annotations, [folder], folder, str(source))
    labelled = {image: _read_regions(annotations[image].result) for image in found}
    labels = sorted({region.labels[0] for regions, _ in labelled.values() for region in regions})
    if not labels:
        notes = sum((notes for _, notes in labelled.values()), Counter[str]())
        found_instead = [f"{note}: {count}" for note, count in notes.most_common()] or ["no region with a label"]
        raise DataError(f"{source} holds nothing to learn, but {listed(found_instead)}.")
    classes = after_background(labels, f"{source}, labels")
    if empty := sum(not regions for regions, _ in labelled.values()):
        logger.info(f"{source}: annotations without a region, all background: {empty} of {len(labelled)}")
    names = strip_common_folder([image.name for image in found.values()])
    pairs = [
        ImportedPair(name, image.blob, partial(_draw, regions, notes, classes), frame=partial(_frame, regions))
        for name, image, (regions, notes) in zip(names, found.values(), labelled.values(), strict=True)
    ]
    return ImportedData(tuple(pairs), classes.names, frame="shown")


def _read_tasks(source: Path) -> list[_Task]:
    """The tasks of a file; or of all files in a folder, where target storages keep some without a suffix."""
    files = [open_blob(source)]
    if not source.is_file():
        files = [*(files_below(source, ".json") or files_below(source, "")).values()]
    if not files:
        raise DataError(f"{source} holds no JSON file: give the path of Label Studio's export.")
    try:
        return [task for blob in files for task in read_document(_Export, blob.read(), blob.name).root]
    except DataError as error:
        raise DataError(f"{error} Give Label Studio's export JSON or JSON-MIN, a list of tasks.") from None


def _annotations(tasks: Sequence[_Task], source: Path) -> dict[str, _Annotation]:
    """The annotation that counts of each task, by the address of the image. Raises DataError where there is none."""
    found: dict[str, _Annotation] = {}
    others: defaultdict[str, list[object]] = defaultdict(list)
    several: list[object] = []
    for number, task in enumerate(tasks):
        identity = number if task.id is None else task.id
        image = _image_address(task.data)
        usable = [annotation for annotation in task.annotations if not annotation.was_cancelled]
        if image is None:
            others["which name no image"].append(identity)
        elif not usable:
            others["without an annotation that is not cancelled"].append(identity)
        elif image in found:
            others["as an earlier one labels the image"].append(identity)
        else:
            found[image] = next((annotation for annotation in usable if annotation.ground_truth), usable[0])
            several += [identity] if len(usable) > 1 else []
    if not found:
        raise DataError(f"{source} holds no task with an image and an annotation: export the labelled tasks as JSON.")
    for why, identities in others.items():
        warn_left_out(source, "task", identities, why, len(tasks))
    if several:
        logger.warning(
            f"{source}: {counted(len(several), 'task')} with several annotations, of which the one marked as ground "
            f"truth counts, else the first: {listed(several)}"
        )
    return found


def _image_address(data: Mapping[str, Any]) -> str | None:
    """What names the image: `image`, or the first value that ends like the name of one."""
    texts = {key: _resolved(value) for key, value in data.items() if isinstance(value, str)}
    named = (text for text in texts.values() if "".join(stated_parts(text)).lower().endswith(tuple(IMAGE_SUFFIXES)))
    return texts.get("image") or next(named, None)


def _resolved(address: str) -> str:
    """The address in a cloud which Label Studio's own address holds, or the address itself."""
    encoded = unquote(address.partition(_RESOLVED)[2].partition("&")[0])
    try:
        return base64.urlsafe_b64decode(encoded).decode() or address
    except (binascii.Error, ValueError):
        return address


def _read_regions(results: Sequence[dict[str, Any]]) -> tuple[list[_Region], Counter[str]]:
    """The regions with a label and an area, and notes on others. JSON has keys below `value`, JSON-MIN has not."""
    notes: Counter[str] = Counter()
    regions: list[_Region] = []
    entries = [result | (result["value"] if isinstance(result.get("value"), dict) else {}) for result in results]
    labelled = {str(entry["id"]) for entry in entries if "id" in entry and _labels(entry)}
    for entry in entries:
        if not (labels := _labels(entry)):
            is_alone = str(entry.get("id")) not in labelled  # <Labels> apart from a shape give a result of their own
            notes[left_out_note(NO_LABEL)] += is_alone and any(key in entry for key in _SHAPES)
            continue
        try:
            region = _Region.model_validate({**entry, "labels": labels})
        except (ValidationError, TypeError, OverflowError):
            notes[left_out_note(UNREADABLE)] += 1
            continue
        if not region.has_area:
            notes[left_out_note(NO_RUN_LENGTHS if "brushlabels" in entry else NO_AREA)] += 1
            continue
        regions.append(region)
        notes[SEVERAL_LABELS] += len(labels) > 1
    return regions, notes


def _labels(entry: Mapping[str, Any]) -> list[str]:
    """The labels of a region: the list under brushlabels, polygonlabels, labels, ..."""
    lists = (value for key, value in entry.items() if key.endswith("labels") and isinstance(value, list))
    first: list[Any] = next(lists, [])
    return [label.strip() for label in first if isinstance(label, str) and label.strip()]


def _frame(regions: Sequence[_Region], geometry: ImageGeometry) -> Frame | None:
    return next(filter(None, (geometry.frame_of_size(region.size) for region in regions if region.size)), None)


def _draw(
    regions: Sequence[_Region], notes: Mapping[str, int], classes: NumberedClasses, geometry: ImageGeometry
) -> Drawing:
    """Draw regions in their order, later ones over earlier ones. Raises MismatchError for strokes of another size."""
    drawing = Drawing.blank(geometry.size, 0)
    drawing.notes.update(notes)
    for region in regions:
        value = classes.numbers[region.labels[0]]
        with drawing.leaving_out():
            if region.rle or region.bit_mask:
                drawing.paste(_painted(region, geometry), 0, 0, value)
            else:
                drawing.fill([_outline(region, geometry)], value)
    return drawing


def _painted(region: _Region, geometry: ImageGeometry) -> NDArray[np.bool_]:
    """The pixels of a brush stroke or bit mask, [H, W], which are not fully transparent."""
    what = f"a region of {region.labels[0]}"
    height, width = geometry.size
    geometry.check_size(region.size or geometry.size, what)
    pixels: NDArray[Any]
    try:
        if region.rle:
            pixels = decode_rle_pack(region.rle, height * width * _BANDS).reshape(height, width, _BANDS)
        else:
            data = from_base64(region.bit_mask or "", "imageDataURL")
            pixels = EncodedImage(data, "imageDataURL").decode(PixelFormat(bands=_BANDS))
    except DataError:
        raise ShapeError(UNREADABLE) from None
    geometry.check_size(pixels.shape[:2], what)
    return np.asarray(pixels[..., 3] > 0)


def _outline(region: _Region, geometry: ImageGeometry) -> Points:
    """The outline in pixels, turned clockwise: a rectangle about its first corner, an ellipse about its centre."""
    first = (region.x, region.y)
    if region.points is not None:
        points = outline(region.points)
    elif region.radius_x is not None and region.radius_y is not None:
        points = ellipse(first, region.radius_x, region.radius_y)
    else:
        points = rectangle(first, (region.x + (region.width or 0), region.y + (region.height or 0)))
    per_cent = np.array(geometry.size[::-1]) / 100
    if not region.rotation:
        return points * per_cent
    pivot, angle = np.array(first) * per_cent, math.radians(region.rotation)
    turn = np.array(((math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))))
    turned: Points = (points * per_cent - pivot) @ turn + pivot
    return turned
