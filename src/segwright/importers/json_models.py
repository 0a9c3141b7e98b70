"""JSON from other tools, checked against the form that is expected of it.

Knows pydantic and how to put its finding into one sentence, and how single entries of a list are left out. Refuses to
know any form.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from segwright.errors import DataError

Document = TypeVar("Document", bound=BaseModel)

_LONGEST: Final = 80  # characters of a value in a message


def read_document(form: type[Document], data: bytes, name: str) -> Document:
    """The JSON text `data` as a `form`. Raises DataError that names file, place and value of the first fault."""
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding) if encoding.startswith("utf-16") else data.removeprefix(b"\xef\xbb\xbf")
        return form.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{name} {_told(error)}") from None
    except UnicodeDecodeError:
        raise DataError(f"{name} is not valid JSON: it is no text.") from None


def readable(form: type[Document], entries: Sequence[Any], place: str) -> tuple[list[Document], str]:
    """The entries of a list `Document | Any` that have the form, and a sentence on the others, empty where there are
    none: how many, and what is wrong with the first.
    """
    found = [entry for entry in entries if isinstance(entry, form)]
    others = [(number, entry) for number, entry in enumerate(entries) if not isinstance(entry, form)]
    if not others:
        return found, ""
    number, first = others[0]
    try:
        form.model_validate(first)
    except ValidationError as error:
        return (
            found,
            f"{len(others)} of {len(entries)} {place} cannot be read and are left out: {place}.{number} {_told(error)}",
        )
    raise AssertionError(f"{place}.{number} has the form, but was not read as such")


def _told(error: ValidationError) -> str:
    """What is wrong in a document, and where."""
    fault = error.errors(include_url=False, include_context=False)[0]
    if fault["type"] == "json_invalid":
        return f"is not valid JSON: {fault['msg']}."
    place = ".".join(str(part) for part in fault["loc"] if isinstance(part, int) or _is_key(part))
    if fault["type"] == "missing":
        return f"is not in the form that was expected: {place} is missing."
    value = repr(fault["input"])
    shown = value if len(value) <= _LONGEST else f"{value[:_LONGEST]} ..."
    return f"is not in the form that was expected: {place or 'it'} is {shown}: {fault['msg']}."


def _is_key(part: str) -> bool:
    """Whether a part of a place stands in the document, and is not pydantic's name for one of several types."""
    return part.isidentifier() and part not in ("int", "str", "float") and not part.startswith("_")


def from_base64(text: str, name: str) -> bytes:
    """The bytes of base64 text or of a data URL; DataError that calls it `name` where it is neither."""
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"{name} is not base64 text.") from None
