"""JSON from other tools, checked against the form that is expected of it.

Knows pydantic and how to put its finding into one sentence. Refuses to know any form.
"""

from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from segwright.errors import DataError

Document = TypeVar("Document", bound=BaseModel)

_LONGEST: Final = 80  # characters of a value in a message


def read_document(form: type[Document], data: bytes, name: str) -> Document:
    """The JSON text `data` as a `form`. Raises DataError that names file, place and value of the first fault."""
    try:
        return form.model_validate_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        raise DataError(f"{name} {_told(error)}") from None


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
