"""Run lengths in a CSV, as in Kaggle's competitions: a row for each object or class of an image.

Source: the evaluation pages of Kaggle's Data Science Bowl 2018, Airbus, Severstal, HuBMAP, UW-Madison and others.
"""

import csv
import io
import logging
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES, EncodedImage
from segwright.importers.dataset import ImportedData, ImportedPair, NumberedClasses, after_background
from segwright.importers.drawing import Drawing
from segwright.importers.files import files_below, read_text, warn_left_out
from segwright.importers.geometry import Frame, ImageGeometry, MismatchError
from segwright.importers.images import FoundImage, find_images, strip_common_folder
from segwright.wording import shortened

logger = logging.getLogger(__name__)

RunOrder = Literal["columns", "rows"]

OBJECT: Final = "object"  # the class of a table without a column of classes

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "image": ("imageid", "imageidclassid", "imagelabel", "image", "imagename", "filename", "img", "imgid", "id"),
    "runs": ("encodedpixels", "encoding", "rle", "rlemask", "segmentation", "annotation", "runlengths", "mask"),
    "class": ("classid", "class", "classname", "label", "labelname", "category", "categoryid", "celltype"),
    "height": ("height", "imgheight", "imageheight"),
    "width": ("width", "imgwidth", "imagewidth"),
}
_ALONG_ROWS: Final = ("segmentation", "annotation")  # UW-Madison GI Tract; Sartorius
_NOTHING: Final = ("", "nan", "none", "null", "-1", "[]")
_WHOLE: Final = re.compile(r"(\d{1,9})(\.0*)?")  # pandas writes 1.0 for 1 in a column with gaps
_IMAGE_AND_CLASS: Final = re.compile(rf"(.+(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))}))_(.+)", re.IGNORECASE)
_WAYS: Final[dict[RunOrder, str]] = {
    "columns": "down the columns (top to bottom, then right)",
    "rows": "along the rows (left to right, then down)",
}
_SAMPLED: Final = 200  # images whose sizes are read to find out which way runs go
_LARGEST: Final = 1 << 40  # no pixel has such a number
_LONGEST: Final = 60  # characters of a value in a message


class Runs(NamedTuple):
    """Starts, which ascend, and lengths, int64 [N] each."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


class _OverlapError(DataError):
    """Runs that overlap, perhaps because starts are distances from the run before."""


class Row(NamedTuple):
    """The pixels of an object, or of a class; `label` is empty where a row without runs names no class."""

    line: int
    image: str
    label: str
    runs: Runs | None
    size: tuple[int, int] | None  # (height, width), where the table has them


Group = tuple[FoundImage, Sequence[Row]]
"""An image and its rows."""


def read_rle_csv(source: Path, images: Path | None = None, rle_order: RunOrder | None = None) -> ImportedData:
    """Read a table of run lengths; images are looked for by name below `images`, or below the table's folder.

    Class 0 is background, the others are the values of the class column, sorted. `rle_order` says which way runs go;
    left out, the runs themselves show it, or the column's name. Images without a row are left out. Raises DataError
    for tables of another form, and where no row has an image.
    """
    if source.is_dir():
        raise DataError(f"{source} is a folder: give the path of its table, a CSV file.")
    header, body = _read_table(source)
    columns = _find_columns(header, source)
    folder = images or source.parent
    paths_of_keys = _joined_names(folder)
    by_image: dict[str, list[Row]] = {}
    for row in _read_rows(body, columns, source):
        by_image.setdefault(paths_of_keys.get(row.image, row.image), []).append(row)
    found = find_images(by_image, [folder], folder, str(source))
    groups = [(image, by_image[key]) for key, image in found.items()]
    used = {image.name for image, _ in groups}
    others = [path for path in files_below(folder, *IMAGE_SUFFIXES) if path.as_posix() not in used]
    warn_left_out(source, "image", others, "without a row; images without an object need one without run lengths")
    if empty := sum(all(row.runs is None for row in rows) for _, rows in groups):
        logger.info(f"{source}: images without an object, all background: {empty} of {len(groups)}")
    labels = {row.label for rows in by_image.values() for row in rows if row.label}
    numbers_first = sorted(labels, key=lambda label: label.zfill(20) if label.isdecimal() else label)
    classes = after_background(numbers_first, f"{source}, classes")
    usual: RunOrder = "rows" if _plain(header[columns["runs"]]) in _ALONG_ROWS else "columns"
    order, first = _numbering(groups, rle_order, usual, source)
    draw = partial(draw_rows, classes, order, first, source)
    names = strip_common_folder([image.name for image, _ in groups])
    pairs = [
        ImportedPair(name, image.blob, partial(draw, rows), frame=partial(_frame, rows))
        for name, (image, rows) in zip(names, groups, strict=True)
    ]
    return ImportedData(tuple(pairs), classes.names)


def _joined_names(folder: Path) -> dict[str, str]:
    """Paths by a folder's name joined to the first words of the file's, `case1_day2_slice_0001` as UW-Madison has it,
    where only one image is meant.
    """
    paths = list(files_below(folder, *IMAGE_SUFFIXES))
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        words = path.stem.split("_")
        for parent in path.parts[:-1]:
            for count in range(1, len(words) + 1):
                found["_".join((parent, *words[:count]))].add(path.as_posix())
    own = {path.stem for path in paths}
    return {key: min(found[key]) for key in found if len(found[key]) == 1 and key not in own}


def _read_table(source: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows that are not empty, each with its line."""
    text = read_text(source)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
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
    return table[0][1], table[1:]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _find_columns(header: Sequence[str], source: Path) -> dict[str, int]:
    """The place of each column that is known by its name. Raises DataError where images or runs have none."""
    names = [_plain(name) for name in header]
    found = {what: names.index(name) for what, known in _COLUMNS.items() for name in known[::-1] if name in names}
    for what, examples in (("image", "of images (ImageId, id, ...)"), ("runs", "of run lengths (EncodedPixels, ...)")):
        if what not in found:
            raise DataError(
                f"{source} has the columns {', '.join(header[:12])}, of which none is that {examples}: rename it in "
                "the first line."
            )
    return found


def _read_rows(body: Sequence[tuple[int, list[str]]], columns: Mapping[str, int], source: Path) -> list[Row]:
    """The rows, without those that cannot be read. Raises DataError where none can be, and where most overlap."""
    cells = [
        (line, {what: row[place].strip() if place < len(row) else "" for what, place in columns.items()})
        for line, row in body
    ]
    if "class" not in columns:  # it may stand behind the image: 0002cc93b.jpg_1
        matches = [_IMAGE_AND_CLASS.fullmatch(row["image"]) for _, row in cells]
        for (_, row), match in zip(cells, matches, strict=True):
            row["image"], row["class"] = match.groups() if match and all(matches) else (row["image"], OBJECT)
        if not all(matches):
            logger.info(f"{source} has no column of classes: all objects are of one class, called {OBJECT}")
    rows: list[Row] = []
    faults: list[str] = []
    overlapping = 0
    for line, row in cells:
        try:
            rows.append(_read_row(line, row))
        except DataError as error:
            faults.append(f"line {line}: {error}".rstrip("."))
            overlapping += isinstance(error, _OverlapError)
    if not rows or overlapping > sum(row.runs is not None and len(row.runs.starts) > 1 for row in rows):
        raise DataError(f"{source}: {len(faults)} of its {len(body)} rows cannot be read. {faults[0]}.")
    warn_left_out(source, "row", faults, "which cannot be read", len(body))
    return rows


def _read_row(line: int, cells: Mapping[str, str]) -> Row:
    whole = {what: match[1] if (match := _WHOLE.fullmatch(cell)) else cell for what, cell in cells.items()}
    label = "" if cells["class"].lower() in _NOTHING else whole["class"]
    runs = None if cells["runs"].lower() in _NOTHING else parse_runs(cells["runs"])
    if not cells["image"] or not (label or runs is None):
        raise DataError("it names no image, or no class.")
    height, width = whole.get("height", ""), whole.get("width", "")
    size = (int(height), int(width)) if _WHOLE.fullmatch(height) and _WHOLE.fullmatch(width) else None
    return Row(line, cells["image"], label, runs, size)


def parse_runs(text: str) -> Runs:
    """The runs of a text `start length start length ...`; commas and brackets count as spaces.

    Raises DataError for what is not whole numbers, an odd count of them, negative ones, and runs that overlap.
    """
    shown = repr(shortened(text, _LONGEST))
    try:
        numbers = np.array([int(word) for word in re.sub(r"[\[\](),;]", " ", text).split()], np.int64)
    except (ValueError, OverflowError):
        raise DataError(f"{shown} is not a list of starts and lengths, such as 1 3 97 3.") from None
    if len(numbers) % 2:
        raise DataError(f"{shown} has {len(numbers)} numbers; each start needs a length.")
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) > _LARGEST:
        raise DataError(f"{shown} has a number that is negative or too large for a start or length.")
    order = np.argsort(numbers[::2], kind="stable")
    starts, lengths = numbers[::2][order], numbers[1::2][order]
    if (starts[1:] < starts[:-1] + lengths[:-1]).any():
        raise _OverlapError(
            f"{shown} has runs that overlap; starts are numbers of pixels, not distances from the run before."
        )
    return Runs(starts, lengths)


def _numbering(groups: Sequence[Group], given: RunOrder | None, usual: RunOrder, source: Path) -> tuple[RunOrder, int]:
    """Which way runs go, and the number of the first pixel: 1, or 0 where a run starts there. Both are logged."""
    starts = (row.runs.starts.min(initial=1) for _, rows in groups for row in rows if row.runs is not None)
    first = min(starts, default=1)
    seen = None if given else _guess_order(groups)
    order = given or seen or usual
    why = "as --rle-order says"
    if not given:
        why = "as the runs themselves show" if seen else "as competitions with such columns have them"
        why += f"; if masks look scrambled or mirrored, give --rle-order {'rows' if order == 'columns' else 'columns'}"
    logger.info(f"{source}: pixels count from {first}, and runs go {_WAYS[order]}, {why}")
    return order, first


def _guess_order(groups: Sequence[Group]) -> RunOrder | None:
    """The way in which runs of one object lie side by side, a row or column apart; None where too little shows it."""
    votes: Counter[RunOrder] = Counter({"rows": 0, "columns": 0})
    for image, rows in groups[:_SAMPLED]:
        height, width = rows[0].size or _certain_size(image) or (0, 0)
        for runs in (row.runs for row in rows if row.runs is not None and height != width):
            steps, reach = np.diff(runs.starts), np.maximum(runs.lengths[1:], runs.lengths[:-1])
            along, down = np.abs(steps - width) <= reach, np.abs(steps - height) <= reach
            votes.update({"rows": int((along & ~down).sum()), "columns": int((down & ~along).sum())})
    (order, most), (_, fewest) = votes.most_common()
    return None if most < 4 * fewest + 3 else order


def _certain_size(image: FoundImage) -> tuple[int, int] | None:
    data = image.blob.read()
    try:
        encoded = EncodedImage(data, image.name)
        return encoded.size() if encoded.size() == encoded.size(exif_transposed=True) else None
    except DataError:
        return None


def _frame(rows: Sequence[Row], geometry: ImageGeometry) -> Frame | None:
    return next((geometry.frame_of_size(row.size) for row in rows if row.size), None)


def draw_rows(
    classes: NumberedClasses, order: RunOrder, first: int, source: Path, rows: Sequence[Row], geometry: ImageGeometry
) -> Drawing:
    """The mask of an image; smaller objects lie over larger ones, and 0 is where none lies.

    `first` is the number of the first pixel. Raises MismatchError for runs that reach beyond the image.
    """
    stated = next((row.size for row in rows if row.size), geometry.size)
    geometry.check_size(stated, f"what {source}, line {rows[0].line} describes")
    height, width = geometry.size
    pixels = np.zeros(height * width, np.uint8)
    objects = [(row, row.runs) for row in rows if row.runs is not None]
    for row, runs in sorted(objects, key=lambda entry: -entry[1].lengths.sum()):
        starts, ends = runs.starts - first, runs.starts - first + runs.lengths
        if ends.max(initial=0) > pixels.size:
            raise MismatchError(
                f"{source}, line {row.line}: a run ends at pixel {int(ends.max()):,}, but the image has "
                f"{pixels.size:,} ({width}x{height}): give the images at the size at which they were labelled."
            )
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            pixels[start:end] = classes.numbers[row.label]
    mask = pixels.reshape(geometry.size, order="C" if order == "rows" else "F")
    return Drawing(np.ascontiguousarray(mask), shapes=len(objects))
