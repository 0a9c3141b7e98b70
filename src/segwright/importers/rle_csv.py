"""Run lengths in a CSV, as Kaggle's competitions have them: a row for each object or class of an image.

Knows the columns by their names, keys such as `0002cc93b.jpg_1`, and what stands for nothing. Which way runs go, and
whether pixels count from 1, is worked out where the data show it, and told. Refuses to know how runs become pixels
(`pixel_runs`).

Source: the evaluation pages of Kaggle's Data Science Bowl 2018, Airbus, Severstal, HuBMAP, UW-Madison and others.
"""

import csv
import io
import logging
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES, image_size
from segwright.importers.canvas import Canvas, Frame
from segwright.importers.dataset import Classes, ImportedData, ImportedPair, after_background
from segwright.importers.drawing import Drawing
from segwright.importers.files import files_below, read_text
from segwright.importers.images import FoundImage, ImageFinder, find_images, strip_common_folder
from segwright.importers.pixel_runs import OverlapError, Runs, draw_runs, guess_order, parse_runs
from segwright.storage import Blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

RunOrder = Literal["columns", "rows"]

OBJECT: Final = "object"
"""The class of a table without a column of classes."""

_IMAGES: Final = ("imageid", "imageidclassid", "imagelabel", "image", "imagename", "filename", "img", "imgid", "id")
_RUNS: Final = ("encodedpixels", "encoding", "rle", "rlemask", "segmentation", "annotation", "runlengths", "mask")
_CLASSES: Final = ("classid", "class", "classname", "label", "labelname", "category", "categoryid", "celltype")
_ALONG_ROWS: Final = ("segmentation", "annotation")  # UW-Madison GI Tract; Sartorius
_HEIGHTS: Final = ("height", "imgheight", "imageheight")
_WIDTHS: Final = ("width", "imgwidth", "imagewidth")
_NOTHING: Final = ("", "nan", "none", "null", "-1", "[]")
_WHOLE: Final = re.compile(r"(\d+)\.0*")  # how pandas writes whole numbers of a column with gaps
_JOINED: Final = re.compile(rf"(.+(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))}))_(.+)", re.IGNORECASE)
_SAMPLED: Final = 200  # images whose sizes are read to find out which way runs go


@dataclass(frozen=True, eq=False)
class _Row:
    """One row: the pixels of one object, or of one class."""

    line: int
    image: str
    label: str
    """Empty where a row says that there is nothing, of no class."""
    runs: Runs | None
    """None where it says that there is nothing."""
    size: tuple[int, int] | None
    """(height, width), where the table has them."""


@dataclass(frozen=True)
class _Columns:
    """Where a row keeps what."""

    image: int
    runs: int
    label: int | None
    height: int | None
    width: int | None
    joined: bool
    """Whether the image's column ends with the class: `0002cc93b.jpg_1`."""
    along_rows: bool
    """Whether competitions with these names count along rows."""


def read_rle_csv(source: Path, images: Path | None = None, rle_order: RunOrder | None = None) -> ImportedData:
    """Read a table of run lengths; images are looked for by name below `images`, or below the table's folder.

    Class 0 is background, the others are the values of the class column, sorted. Runs go down the columns, as in most
    competitions, unless `rle_order`, the columns' names or the runs themselves say otherwise. Images without a row are
    left out. Raises DataError for tables of another form, and where no row has an image.
    """
    if source.is_dir():
        raise DataError(f"{source} is a folder: give the path of its table, a CSV file.")
    table = _read_table(source)
    header, body = table[0][1], table[1:]
    columns = _columns(header, body, source)
    rows = list(_rows(body, columns, source))
    by_image: dict[str, list[_Row]] = {}
    for row in rows:
        by_image.setdefault(row.image, []).append(row)
    folder = images or source.parent
    found = _find(by_image, folder, source)
    labels = sorted({row.label for row in rows if row.label}, key=_number_first)
    classes = after_background(labels, f"{source}, classes")
    if columns.label is None and not columns.joined:
        logger.info(f"{source} has no column of classes: all objects are of one class, called {OBJECT}")
    rule = _settle(rows, found, columns, rle_order, source)
    _tell_images(folder, found, by_image, source)
    paths = strip_common_folder([picture.name for picture in found.values()])
    pairs = [
        ImportedPair(
            path,
            picture.image,
            partial(_draw, by_image[image], classes, rule, source),
            frame=partial(_frame, by_image[image]),
        )
        for (image, picture), path in zip(found.items(), paths, strict=True)
    ]
    return ImportedData(tuple(pairs), classes.names)


def _number_first(label: str) -> tuple[bool, int, str]:
    """Numbers come first, by their size, then words."""
    return (False, int(label), label) if label.isdecimal() else (True, 0, label)


def _read_table(source: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with its line, the header first."""
    text = read_text(source)
    first = text[: text.find("\n")]
    delimiter = max(",;\t", key=first.count)
    limit = csv.field_size_limit(sys.maxsize)  # run lengths of a slide are longer than the default; a global setting
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        table = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{source} cannot be read as CSV: {error}.") from None
    finally:
        csv.field_size_limit(limit)
    if len(table) < 2:
        raise DataError(f"{source} holds no rows: a table of run lengths has a header and a row for each object.")
    return table


def _columns(header: Sequence[str], body: Sequence[tuple[int, list[str]]], source: Path) -> _Columns:
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]

    def place(known: Sequence[str]) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    image, runs, label = place(_IMAGES), place(_RUNS), place(_CLASSES)
    if image is None or runs is None:
        what = (
            "of images (ImageId, id, ...)"
            if image is None
            else "of run lengths (EncodedPixels, rle, segmentation, ...)"
        )
        raise DataError(
            f"{source} has the columns {', '.join(header[:12])}, of which none is that {what}: rename it in the first "
            "line."
        )
    keys = [row[image] for _, row in body if len(row) > image]
    joined = label is None and (
        names[image] in ("imageidclassid", "imagelabel") or all(_JOINED.fullmatch(key.strip()) for key in keys)
    )
    return _Columns(image, runs, label, place(_HEIGHTS), place(_WIDTHS), joined, names[runs] in _ALONG_ROWS)


def _rows(body: Sequence[tuple[int, list[str]]], columns: _Columns, source: Path) -> Iterator[_Row]:
    """The rows; those that cannot be read are left out with a warning. Raises DataError where none can be read."""
    faults: list[str] = []
    several, overlapping = 0, 0
    for line, row in body:
        try:
            found = _row(line, row, columns)
        except DataError as error:
            faults.append(f"line {line}: {error}")
            overlapping += isinstance(error, OverlapError)
        else:
            several += found.runs is not None and len(found.runs.starts) > 1
            yield found
    if len(faults) == len(body) or overlapping > several:
        raise DataError(f"{source}: {len(faults)} of its {len(body)} rows cannot be read. {faults[0]}")
    if faults:
        logger.warning(f"{source}: {len(faults)} of {len(body)} rows cannot be read and are left out: {faults[0]}")


def _row(line: int, row: Sequence[str], columns: _Columns) -> _Row:
    def cell(place: int | None) -> str:
        return row[place].strip() if place is not None and place < len(row) else ""

    image, label = cell(columns.image), OBJECT if columns.label is None else cell(columns.label)
    if columns.joined:
        match = _JOINED.fullmatch(image)
        image, label = match.groups() if match else image.rpartition("_")[::2]
    label = "" if label.lower() in _NOTHING else label
    if whole := _WHOLE.fullmatch(label):
        label = whole[1]
    text = cell(columns.runs)
    runs = None if text.lower() in _NOTHING else parse_runs(text)
    if not image or not (label or runs is None):
        raise DataError("it names no image, or no class.")
    sides = [
        float(split) for split in (cell(columns.height), cell(columns.width)) if re.fullmatch(r"\d{1,6}(\.0*)?", split)
    ]
    return _Row(line, image, label, runs, (int(sides[0]), int(sides[1])) if len(sides) == 2 else None)


def _find(by_image: Mapping[str, Sequence[_Row]], folder: Path, source: Path) -> dict[str, FoundImage]:
    """The image of each key; a key may also be a folder's name and the first words of a file's (UW-Madison)."""
    finder = ImageFinder(folder, everywhere=True)
    if any(finder.find(image) for image in by_image):
        return find_images(by_image, [folder], folder, str(source))
    joined = _by_folder_and_words(folder)
    stated = {joined.get(image, image): image for image in by_image}
    return {stated[path]: found for path, found in find_images(stated, [folder], folder, str(source)).items()}


def _by_folder_and_words(folder: Path) -> dict[str, str]:
    """The paths of images by the name of a folder above and the first words of their own name, joined by `_`, where
    these fit one image only.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in files_below(folder, *IMAGE_SUFFIXES):
        words = path.stem.split("_")
        for parent in path.parts[:-1]:
            for count in range(1, len(words) + 1):
                found["_".join((parent, *words[:count]))].append(path.as_posix())
    return {key: paths[0] for key, paths in found.items() if len(paths) == 1}


def _tell_images(
    folder: Path, found: Mapping[str, FoundImage], by_image: Mapping[str, Sequence[_Row]], source: Path
) -> None:
    used = {picture.name for picture in found.values()}
    if others := [str(path) for path in files_below(folder, *IMAGE_SUFFIXES) if path.as_posix() not in used]:
        logger.warning(
            f"{len(others)} images have no row in {source} and are left out: {listed(others)}. What shows no object "
            "needs a row without run lengths."
        )
    if empty := sum(all(row.runs is None for row in by_image[image]) for image in found):
        logger.info(f"{source}: {empty} of {len(found)} images have no object and are all background")


@dataclass(frozen=True)
class _Rule:
    """How runs become pixels."""

    along_rows: bool
    first: int
    """The number of the first pixel."""


def _settle(
    rows: Sequence[_Row], found: Mapping[str, FoundImage], columns: _Columns, order: RunOrder | None, source: Path
) -> _Rule:
    """How runs become pixels: by `order`, else by the runs, else by the columns' names; said in one line."""
    first = 0 if any(row.runs is not None and row.runs.starts.min(initial=1) == 0 for row in rows) else 1
    if order is not None:
        chosen, why = order == "rows", "as --rle-order says"
    else:
        guess = _guess(rows, found)
        chosen = columns.along_rows if guess is None else guess
        why = "as the runs themselves show" if guess is not None else "as competitions with such columns have them"
    way = "along the rows (left to right, then down)" if chosen else "down the columns (top to bottom, then right)"
    other = (
        ""
        if order is not None
        else f"; if masks look scrambled or mirrored, give --rle-order {'columns' if chosen else 'rows'}"
    )
    logger.info(f"{source}: runs go {way}, {why}, and pixels count from {first}{other}")
    return _Rule(chosen, first)


def _guess(rows: Sequence[_Row], found: Mapping[str, FoundImage]) -> bool | None:
    """Whether runs go along rows, by the images whose sides differ; None where nothing shows it."""
    votes: Counter[bool] = Counter()
    sizes: dict[str, tuple[int, int] | None] = {}
    for row in rows:
        if row.runs is None or row.image not in found:
            continue
        if row.image not in sizes:
            if len(sizes) == _SAMPLED:
                break
            sizes[row.image] = row.size or _certain_size(found[row.image].image)
        if size := sizes[row.image]:
            votes.update(guess_order(row.runs, *size))
    rows_, columns = votes[True], votes[False]
    return None if max(rows_, columns) < 4 * min(rows_, columns) + 3 else rows_ > columns


def _certain_size(image: Blob) -> tuple[int, int] | None:
    """(height, width); None where a noted orientation exchanges them, so that either may have been labelled."""
    data = image.read()
    size = image_size(data, image.name)
    return size if size == image_size(data, image.name, upright=True) else None


def _stated_size(rows: Sequence[_Row], canvas: Canvas) -> tuple[int, int]:
    """(height, width) as the table says, else as the image's labels lie."""
    return next((row.size for row in rows if row.size), canvas.size)


def _frame(rows: Sequence[_Row], canvas: Canvas) -> Frame | None:
    return canvas.frame_of_size(_stated_size(rows, canvas)) if any(row.size for row in rows) else None


def _draw(rows: Sequence[_Row], classes: Classes, rule: _Rule, source: Path, canvas: Canvas) -> Drawing:
    canvas.check_size(_stated_size(rows, canvas), f"what {source}, line {rows[0].line} describes")
    filled = [(classes.numbers[row.label], row.runs, row.line) for row in rows if row.runs is not None]
    size = canvas.size
    mask = draw_runs(filled, size, along_rows=rule.along_rows, first=rule.first, where=str(source))
    return Drawing(mask, shapes=len(filled))
