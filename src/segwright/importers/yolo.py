"""YOLO segmentation: a data.yaml, images, and for each image a text file of polygons.

Source: https://docs.ultralytics.com/datasets/segment; ultralytics, `data/utils.py` (`check_det_dataset`,
`img2label_paths`).
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.importers.dataset import SPLIT_OF, ImportedData, ImportedPair, after_background, without_suffix
from segwright.importers.drawing import TOO_FEW_POINTS, Drawing, Points, ShapeError, area, outline
from segwright.importers.files import files_below, is_there, read_text, warn_left_out
from segwright.importers.geometry import ImageGeometry
from segwright.importers.images import ImageFinder, stated_parts, strip_common_folder
from segwright.labels import IGNORE
from segwright.storage import Blob, open_blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

_FARTHEST: Final = 2.0  # widths or heights; points outside the image are cut off, points farther away are in pixels

BOXES: Final = "lines that are boxes and not outlines (five numbers)"
UNREADABLE: Final = "label lines that are not a class number and points"
IN_PIXELS: Final = "polygons with coordinates far outside of 0 to 1"
UNNAMED: Final = "polygons of class numbers that have no name, ignored"
_INSTEAD_OF_POLYGONS: Final = {
    BOXES: "boxes (a class and four numbers) and no outlines: this is a data set for detection. Export it for "
    "segmentation, with polygons.",
    IN_PIXELS: "coordinates far outside of 0 to 1: YOLO has fractions of width and height, so divide them by the "
    "image's.",
    "": "no line: there is nothing to learn.",
}


class _Dataset(NamedTuple):
    """A data set as its data.yaml describes it, or a folder without one."""

    location: Path  # the data.yaml, or the folder
    root: Path
    path: str  # the folder from which paths start, as stated
    splits: Mapping[Split, Sequence[str]]  # folders of images, and text files that list images
    names: Mapping[int, str]

    def locate(self, stated: str, base: Path | None = None) -> Path | None:
        """What a path leads to from `base`, `path` or `root`; only the end counts of a path of another machine."""
        stated = stated.replace("\\", "/")
        parts = stated_parts(stated)
        below = [self.root.joinpath(*parts[first:]) for first in range(len(parts))]
        starts = [*([base] if base else []), self.root / self.path, self.root]
        # Roboflow writes ../train/images for train/images
        leads_out = stated.startswith("../") and not self.path and not base
        candidates = [*(below[:1] if leads_out else []), *(start / stated for start in starts), *below]
        return next((path for path in candidates if os.path.exists(path)), None)  # noqa: PTH110  # False for bad names

    def find_labels(self, image: str, base: Path | None = None) -> Path | None:
        """The label file of an image: in a folder `labels` beside `images`, or beside the image."""
        texts = (self.locate(f"{without_suffix(path)}.txt", base) for path in (_labels_path(image), image))
        return next(filter(None, texts), None)


class _Image(NamedTuple):
    path: Path
    labels: Path | None
    split: Split | None


def read_yolo(source: Path, images: Path | None = None) -> ImportedData:
    """Read a data.yaml, or a folder with one or with none; `train` and `val` divide the pairs where both have images.

    Images are where data.yaml says, or below `images`. Class 0 is background, the others are `names` in their order.
    Raises DataError for a data.yaml that cannot be read, where no image is, and for data sets without polygons.
    """
    dataset = _read_dataset(source)
    found = _find_images(dataset, images)
    files = [open_blob(image.labels) for image in found if image.labels]
    if not files:
        cure = "" if dataset.splits else ", or give the images' folder with --images DIR"
        raise DataError(
            f"{dataset.location}: none of the {len(found)} images, such as {found[0].path}, has a label file beside it "
            f"or in a folder labels beside images. Call the folders images and labels{cure}."
        )
    if unlabelled := [image.path for image in found if not image.labels]:
        logger.warning(
            f"{dataset.location}: images without a label file, which are all background: {len(unlabelled)} of "
            f"{len(found)} ({listed(unlabelled)})"
        )
    numbers = _used_numbers(files, dataset)
    if not dataset.names:
        logger.warning(f"{dataset.location}: classes are called by their numbers, without names or a classes.txt")
    names = dataset.names or {number: str(number) for number in sorted(numbers)}
    classes = after_background(names.values(), f"{dataset.location}, names")
    values = {number: classes.numbers[name] for number, name in names.items()}
    pairs = []
    for image, name in zip(found, _names(found), strict=True):
        draw = partial(draw_labels, open_blob(image.labels) if image.labels else None, values)
        pairs.append(ImportedPair(name, open_blob(image.path), draw, image.split))
    divided_by = "train and val" if len({image.split for image in found}) > 1 else None
    return ImportedData(tuple(pairs), classes.names, divided_by=divided_by, frame="shown")


def _read_dataset(source: Path) -> _Dataset:
    file = _find_description(source)
    root = (file.parent if file else source).absolute()
    content = _read_yaml(file) if file else {}
    if "kpt_shape" in content:
        raise DataError(f"{file} describes poses (kpt_shape), whose labels are boxes and key points, not outlines.")
    splits: dict[Split, list[str]] = {}
    for key, split in SPLIT_OF.items():
        if paths := _texts(content.get(key)):
            splits.setdefault(split, paths)
    if content.get("test"):
        logger.info("test is not used: it is for judging the model that has been trained")
    path = "".join(_texts(content.get("path"))).replace("\\", "/")
    names = _read_names(content, file or root)
    lists = [text for text in (root / "classes.txt", root / "labels" / "classes.txt") if is_there(text)]
    if lists and not names:
        names = dict(enumerate(_texts(read_text(lists[0]).splitlines())))
    return _Dataset(file or source, root, path, splits, names)


def _texts(value: Any) -> list[str]:
    """A text, or the texts of a list, without empty ones."""
    values = value if isinstance(value, list) else [value]
    return [text.strip() for text in values if isinstance(text, str) and text.strip()]


def _find_description(source: Path) -> Path | None:
    """The file itself, or the data.yaml in a folder, under whatever name."""
    if not source.is_dir():
        return source
    for pattern in ("data.yaml", "[!.]*.y*ml", "[!.]*/data.yaml"):
        found = [path for path in sorted(source.glob(pattern)) if "names" in _read_yaml(path)]
        if len(found) > 1:
            raise DataError(f"{source} holds several descriptions of data sets: {listed(found)}. Give the path of one.")
        if found:
            return found[0]
    return None


def _read_yaml(file: Path) -> dict[str, Any]:
    """The content. All scalars are text: a class may be called `no` or `1e3`."""
    try:
        content = yaml.load(read_text(file), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise DataError(f"{file} is no data.yaml, which has the keys train, val and names.")
    return content


def _read_names(content: Mapping[str, Any], file: Path) -> dict[int, str]:
    names = content.get("names")
    entries = names.items() if isinstance(names, dict) else enumerate(names if isinstance(names, list) else [])
    found: dict[int, str] = {}
    for key, name in entries:
        if not (re.fullmatch(r"\d{1,9}", str(key)) and isinstance(name, str) and name.strip()):
            raise DataError(f"{file}: names has the entry {key!r}, which is not a class number and its name.")
        found[int(key)] = name.strip()
    return found


def _labels_path(path: str) -> str:
    return re.sub(r"^(.*/)?images(?=/|$)", r"\1labels", path.replace("\\", "/"))


def _find_images(dataset: _Dataset, images: Path | None) -> list[_Image]:
    finder = ImageFinder(images, everywhere=True) if images else None
    found: dict[tuple[Path, Split | None], _Image] = {}
    empty: list[str] = []
    missing: list[str] = []
    entries: list[tuple[Split | None, str]] = [(None, ".")]
    if dataset.splits:
        entries = [(split, entry) for split, entries in dataset.splits.items() for entry in entries]
    for split, entry in entries:
        stated = list(_stated_images(dataset, entry, elsewhere=images is not None))
        empty += [] if stated else [entry]
        for name, labels in stated:
            path = Path(name)
            if finder and not is_there(path) and (image := finder.find(name)):
                path = finder.folder / image.name
            if is_there(path):
                found.setdefault((path.resolve(), split), _Image(path, labels, split))
            else:
                missing.append(name)
    if not found:
        what = "no data.yaml and no images: give the path of the data.yaml"
        if dataset.splits:
            what = f"no images at {listed([entry for _, entry in entries])}: correct train and val"
        raise DataError(f"{dataset.location}: {what}, or give the folder of images with --images DIR.")
    warn_left_out(dataset.location, "path", empty, "not there or without images")
    why = "not there; if they lie elsewhere, give their folder with --images DIR"
    warn_left_out(dataset.location, "image", missing, why)
    return list(found.values())


def _stated_images(dataset: _Dataset, entry: str, *, elsewhere: bool) -> Iterator[tuple[str, Path | None]]:
    """Images and their label files in a folder or list; label files name images that are only `elsewhere`."""
    location = dataset.locate(entry)
    if location and location.is_file():
        for line in _texts(read_text(location).splitlines()):
            image = str(dataset.locate(line, location.parent) or line)
            yield image, dataset.find_labels(image, location.parent)
        return
    by_labels = elsewhere and not dataset.splits
    found = [location / path for path in files_below(location, *IMAGE_SUFFIXES)] if location and not by_labels else []
    for image in map(str, found):
        yield image, dataset.find_labels(image)
    folder = dataset.locate(_labels_path(entry))
    if elsewhere and folder and not found:
        texts = [path for path in files_below(folder, ".txt") if path.name != "classes.txt"]
        yield from ((str(folder / path.with_suffix("")), folder / path) for path in texts)


def _names(images: Sequence[_Image]) -> list[str]:
    """The path of each image below the folder of its split, or below that of all where two splits share one."""
    groups = [[str(image.path.resolve()) for image in group] for _, group in groupby(images, lambda one: one.split)]
    names = [name for group in groups for name in strip_common_folder(group)]
    if len({PurePath(name).with_suffix("") for name in names}) == len(names):
        return names
    return strip_common_folder([path for group in groups for path in group])


def _used_numbers(files: Sequence[Blob], dataset: _Dataset) -> set[int]:
    """The class numbers of polygons, in the first file with one where classes have names. Raises DataError for none."""
    numbers: set[int] = set()
    faults: Counter[str] = Counter()
    for file in files:
        for line in _lines(file):
            try:
                numbers.add(_parse_line(line)[0])
            except ShapeError as error:
                faults[str(error)] += 1
        if numbers and dataset.names:
            break
    if not numbers:
        fault = faults.most_common(1)[0][0] if faults else ""
        what = _INSTEAD_OF_POLYGONS.get(fault, "no outline: a line is a class number and three points or more.")
        raise DataError(f"{dataset.location}: the {len(files)} label files, for example {files[0].name}, hold {what}")
    return numbers


def _lines(labels: Blob) -> list[list[str]]:
    lines = (line.split() for line in labels.read().decode("utf-8-sig", "replace").splitlines())
    return [words for words in lines if words]


def _parse_line(words: Sequence[str]) -> tuple[int, NDArray[np.float64]]:
    """Class number and polygon in fractions of width and height, [N, 2]; a confidence is dropped. Raises ShapeError."""
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        raise ShapeError(UNREADABLE) from None
    if not np.isfinite(numbers).all() or not 0 <= numbers[0] < 1e9 or numbers[0] % 1:
        raise ShapeError(UNREADABLE)
    coordinates = numbers[1 : (len(numbers) - 1) // 2 * 2 + 1]
    if len(coordinates) < 6:
        raise ShapeError(BOXES if len(coordinates) == 4 else TOO_FEW_POINTS)
    if np.abs(coordinates).max() > _FARTHEST:
        raise ShapeError(IN_PIXELS)
    return int(numbers[0]), coordinates.reshape(-1, 2)


def draw_labels(labels: Blob | None, values: Mapping[int, int], geometry: ImageGeometry) -> Drawing:
    """The mask of a label file: smaller polygons lie over larger ones, as in Ultralytics.

    `values` gives the class of each class number; polygons of others are ignored, and 0 is elsewhere.
    """
    drawing = Drawing.blank(geometry.size, 0)
    polygons: list[tuple[float, Points, int]] = []
    for line in _lines(labels) if labels else ():
        with drawing.leaving_out():
            number, fractions = _parse_line(line)
            points = outline((fractions * geometry.size[::-1]).tolist())
            polygons.append((area(points), points, values.get(number, IGNORE)))
            drawing.notes[UNNAMED] += number not in values
    for _, points, value in sorted(polygons, key=lambda entry: -entry[0]):
        with drawing.leaving_out():
            drawing.fill([points], value)
    return drawing
