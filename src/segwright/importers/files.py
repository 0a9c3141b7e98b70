"""The files of a data set: which there are, their text, and warnings about those that are left out."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from segwright.errors import DataError
from segwright.storage import Blob, open_blob, walk_files
from segwright.wording import counted, listed

logger = logging.getLogger(__name__)

MARKER: Final = "import.json"
"""Says what a folder was imported from, and marks it as one that may be replaced."""


def is_there(path: Path) -> bool:
    """Whether a file lies there; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def files_below(folder: Path, *suffixes: str) -> dict[PurePosixPath, Blob]:
    """The files below a folder with one of these suffixes, in any case, by path from there; without hidden files, what
    macOS adds to archives, and earlier imports. Raises DataError where it cannot be read.
    """
    found = walk_files(folder, lambda below: is_there(folder / below / MARKER))
    return {path: blob for path, blob in found if not suffixes or path.suffix.lower() in suffixes}


def read_text(path: Path) -> str:
    """The text of a file, UTF-8 or what its byte order mark says. Raises DataError where it cannot be read."""
    data = open_blob(path).read()
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        raise DataError(f"{path} cannot be read: it is not UTF-8 text.") from None


def warn_left_out(where: object, what: str, names: Sequence[object], why: str, total: int = 0, cure: str = "") -> None:
    """Log which entries are left out, if any: `labels.csv: 2 of 7 images left out, not found: a.png, b.png`.

    `what` is the noun in the singular, `total` counts the entries where it is known, and `cure` is a sentence.
    """
    if names:
        count = f"{len(names):,} of {counted(total, what)}" if total else counted(len(names), what)
        logger.warning(f"{where}: {count} left out, {why}: {listed(names)}. {cure}".rstrip())
