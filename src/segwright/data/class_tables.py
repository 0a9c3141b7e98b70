"""The tables of classes that tools write beside masks, such as Roboflow's `_classes.csv`."""

import csv
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from segwright.errors import DataError, LabelError
from segwright.labels import IGNORE, LabelMap, checked_names
from segwright.storage import Location, S3Location, is_file, open_blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

_TABLES: Final = ("_classes.csv", "classes.csv", "class_dict.csv", "class_dict_seg.csv", "labels.csv")
_LISTS: Final = ("classes.txt", "labels.txt", "class_names.txt", "obj.names")
_COLOURS: Final = ("labelmap.txt", "label_colors.txt")
CLASS_FILES: Final = (*_TABLES, *_LISTS, *_COLOURS)
"""Names of the files that say something of classes and lie beside masks."""

_VALUES: Final = [
    "pixelvalue",
    "value",
    "pixel",
    "index",
    "classindex",
    "classid",
    "labelid",
    "id",
    "trainid",
    "class",
    "label",
]
_NAMES: Final = ("classname", "labelname", "name", "class", "label", "category")
_COLOUR_COLUMNS: Final = re.compile(r"\b(r|red|rgb|hex|colou?rs?)\b", re.IGNORECASE)
_VOID: Final = ("void", "ignore", "ignored", "unlabeled", "unlabelled", "unknown")


class ClassTable(NamedTuple):
    """Pixel values of masks and the names of their classes, in the order of the values."""

    source: str
    values: tuple[int, ...]
    names: tuple[str, ...]

    def label_map(self) -> LabelMap | None:
        """The map from pixel values to classes; None where they are equal."""
        if self.values == tuple(range(len(self.values))):
            return None
        pairs = tuple((value, index) for index, value in enumerate(self.values))
        return LabelMap(values=pairs, class_names=self.names)


def find_class_table(folders: Sequence[Sequence[Location]], num_classes: int | None) -> ClassTable | None:
    """The table beside the masks of any channel, whose folders are given; logs it, or why one is not used.

    Raises LabelError where those of two channels differ.
    """
    found = [table for some in folders if (table := _first_table(some)) is not None]
    if not found:
        _log_others([folder for folder in dict.fromkeys(chain(*folders)) if isinstance(folder, Path)])
        return None
    table = max(found, key=lambda table: len(table.names))
    for other in found:
        if not set(zip(other.values, other.names, strict=True)) <= set(zip(table.values, table.names, strict=True)):
            raise LabelError(
                f"{found[0].source} and {found[1].source} give classes other names or pixel values: make them agree, "
                "or give label maps and class names."
            )
    if num_classes is not None and (num_classes != len(table.names) or table.label_map()):
        logger.warning(
            f"{table.source} names the pixel values {listed(table.values, 5)} and is not used: num_classes "
            f"{num_classes} means 0 to {num_classes - 1}."
        )
        return None
    logger.info(
        f"class names come from {table.source}: {', '.join(table.names)}; num_classes, class names and label maps that "
        "are given come before it"
    )
    return table


def parse_class_table(text: str, source: str) -> ClassTable | None:
    """The table in a text with a header; None where not exactly one column holds pixel values, or none holds names.

    Where 255 has a name that says void, it stays ignored. Raises LabelError for a value or name that occurs twice, and
    where 0 has no name: nearly all masks hold it, and it would be ignored.
    """
    try:
        lines = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise LabelError(f"{source}: {error}") from None
    rows = [[cell.strip() for cell in row] for row in lines if any(row)]
    if len(rows) < 2:
        return None
    header = [re.sub(r"[\W_]", "", cell).casefold() for cell in rows[0]]
    columns = {name: [row[index] if index < len(row) else "" for row in rows[1:]] for index, name in enumerate(header)}
    numeric = {name for name, cells in columns.items() if all(re.fullmatch("[0-9]{1,5}", cell) for cell in cells)}
    numbers = [columns[name] for name in _VALUES if name in numeric]
    names = next((columns[name] for name in _NAMES if name in columns.keys() - numeric), None)
    if len(numbers) != 1 or names is None:
        return None
    entries = sorted(zip(map(int, numbers[0]), names, strict=True))
    if entries[0][0] != 0:
        raise LabelError(f"{source}: it gives the pixel value 0 no name; class_names takes a file with all names")
    entries = [(value, name) for value, name in entries if not (value == IGNORE and name.casefold() in _VOID)]
    try:
        LabelMap(values=tuple((value, index) for index, (value, _) in enumerate(entries)))  # refuses repeated values
        return ClassTable(source, tuple(value for value, _ in entries), checked_names([name for _, name in entries]))
    except LabelError as error:
        raise LabelError(f"{source}: {error}") from None


def _first_table(folders: Sequence[Location]) -> ClassTable | None:
    """The first table in some folders. In S3, where each look is a request, only the commonest is looked for."""
    for folder in folders:
        for file in (folder / name for name in (_TABLES[:1] if isinstance(folder, S3Location) else _TABLES)):
            if is_file(file):
                try:
                    table = parse_class_table(open_blob(file).read().decode("utf-8-sig"), str(file))
                except (DataError, LabelError, UnicodeDecodeError) as error:
                    logger.warning("%s is not used for class names: %s", file, error)
                    continue
                if table is not None:
                    return table
    return None


def _log_others(folders: Sequence[Path]) -> None:
    """Log what would read a list of names or a table of colours, which name no pixel values."""
    for file in (folder / name for folder in folders for name in CLASS_FILES):
        if not file.is_file():
            continue
        first_line = ""
        with suppress(OSError), file.open(encoding="utf-8", errors="replace") as stream:
            first_line = stream.readline(1000)
        if file.name in _LISTS:
            logger.info("%s is not used; give it as class_names if its lines are the classes 0, 1, 2, ...", file)
        elif file.name in _COLOURS or _COLOUR_COLUMNS.search(first_line):
            logger.info(
                f"{file} gives no pixel values and is not used; if masks are images in its colours: segwright "
                f"import-data colours IMAGES --masks MASKS --colours {file}"
            )
