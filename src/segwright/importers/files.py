"""The files of a data set: which there are, their text, JSON as pydantic models, and warnings on what is left out."""

import base64
import binascii
import json
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from segwright.errors import DataError
from segwright.storage import Blob, open_blob, walk_files
from segwright.wording import counted, listed, shortened

logger = logging.getLogger(__name__)

MARKER: Final = "import.json"
"""Says what a folder was imported from, and marks it as one that may be replaced."""

_LONGEST: Final = 80  # characters of a value in a message

Document = TypeVar("Document", bound=BaseModel)


def is_there(path: Path) -> bool:
    """Whether a file lies there; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def files_below(folder: Path, *suffixes: str) -> dict[PurePosixPath, Blob]:
    """The files with one of some suffixes, by path, but for hidden files and earlier imports. Raises DataError."""
    found = walk_files(folder, lambda below: is_there(folder / below / MARKER))
    return {path: blob for path, blob in found if path.suffix.lower() in suffixes}


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


def read_document(model: type[Document], data: bytes, name: str) -> Document:
    """Parse JSON text. Raises DataError that names file, location and value of the first fault."""
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding) if encoding.startswith("utf-16") else data.removeprefix(b"\xef\xbb\xbf")
        return model.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{name} {_fault(error)}") from None
    except UnicodeDecodeError:
        raise DataError(f"{name} is not valid JSON: it is no text.") from None


def readable(model: type[Document], entries: Sequence[Any], key: str) -> tuple[list[Document], str]:
    """The entries of a list `Document | Any` that fit the model, and a sentence on the others, if there are any."""
    found = [entry for entry in entries if isinstance(entry, model)]
    number, first = next(((n, entry) for n, entry in enumerate(entries) if not isinstance(entry, model)), (0, None))
    try:
        if len(found) < len(entries):
            model.model_validate(first)
    except ValidationError as error:
        others = f"{len(entries) - len(found)} of {len(entries)} {key}"
        return found, f"{others} left out, not readable: {key}.{number} {_fault(error)}"
    return found, ""


def from_base64(text: str, name: str) -> bytes:
    """The bytes of base64 text or of a data URL; DataError that begins with `name` where it is neither."""
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"{name} is not base64 text.") from None


def _fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    if fault["type"] == "json_invalid":
        return f"is not valid JSON: {fault['msg']}."
    location = ".".join(str(part) for part in fault["loc"] if isinstance(part, int) or _is_key(part))
    if fault["type"] == "missing":
        return f"is not in the form that was expected: {location} is missing."
    shown = shortened(repr(fault["input"]), _LONGEST)
    return f"is not in the form that was expected: {location or 'it'} is {shown}: {fault['msg']}."


def _is_key(part: str) -> bool:
    """Whether a part of a location stands in the document, and is not pydantic's name for one of several types."""
    return part.isidentifier() and part not in ("int", "str", "float") and not part.startswith("_")
