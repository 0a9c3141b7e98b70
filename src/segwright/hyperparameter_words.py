"""Hyperparameters in words: what a field allows, what is wrong with a value, and the table of all of them.

Everything is read off the fields of a pydantic model, so that no range or choice is ever written down twice.
This module knows no hyperparameter by name.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

LONGEST_VALUE_SHOWN: Final = 60


def parse_epoch_list(value: object) -> object:
    """The numbers of ``"10, 20"`` in ascending order; values that are no string pass through, sorted.

    Raises:
        ValueError: a part between commas is not a whole number.
    """
    if isinstance(value, str):
        value = [int(part) for part in value.split(",")]
    return tuple(sorted(set(value))) if isinstance(value, list | tuple) else value


def parse_whole_number(value: object) -> object:
    """A string of digits as a number, for choices among numbers, which pydantic does not convert."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """One message for all that pydantic found: parameter, value, what is allowed, nearest name or choice."""
    problems: dict[str, str] = {}
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        problems.setdefault(name, _problem(name, item, model))
    if len(problems) == 1:
        return next(iter(problems.values()))
    return f"{len(problems)} hyperparameters are wrong: " + " ".join(problems.values())


def allowed(field: FieldInfo) -> str:
    """What a field takes, as words that follow "it takes": "a whole number of at least 17"."""
    kind = plain_type(field)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "a comma-separated list of epochs, such as 10, 20"
    if kind is bool:
        return "True or False"
    if kind is int:
        return "a whole number" + _whole_range(field)
    if kind is float:
        return "a number" + _real_range(field)
    return "a name" if kind is str else "the path of a file"


def plain_type(field: FieldInfo) -> Any:
    """The type of a field without ``| None`` and without annotations."""
    kind: Any = field.annotation
    options = [option for option in get_args(kind) if option is not type(None)]
    if type(None) in get_args(kind):
        kind = options[0]
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def section(field: FieldInfo) -> str:
    """The heading under which help and documentation show a field."""
    extra = field.json_schema_extra
    return str(extra["section"]) if isinstance(extra, dict) else ""


def sections(model: type[BaseModel]) -> dict[str, dict[str, FieldInfo]]:
    """The fields of a model by section, both in the order of their definition."""
    grouped: dict[str, dict[str, FieldInfo]] = {}
    for name, field in model.model_fields.items():
        grouped.setdefault(section(field), {})[name] = field
    return grouped


def table(fields: dict[str, FieldInfo], defaults: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table of fields: name, values, the default in each of several named sets, meaning."""
    rows = [
        [f"`{name}`", allowed(field), *(_shown_default(each[name]) for each in defaults.values()), field.description]
        for name, field in fields.items()
    ]
    heads = ["Name", "Values", *(f"`{name}`" for name in defaults), "Meaning"]
    return markdown_table(heads, rows)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    """A Markdown table, a line a row."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The most similar of some words, or None when none is similar; case and hyphens do not count."""
    plain = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word.lower().strip("-_").replace("-", "_"), plain, n=1)
    return plain[close[0]] if close else None


def _problem(name: str, item: Any, model: type[BaseModel]) -> str:
    if not name:
        return f"{item['ctx']['error']}."
    if item["type"] == "extra_forbidden":
        guess = nearest(name, model.model_fields)
        advice = f"did you mean {guess}?" if guess else "`segwright train --help` lists them all."
        return f'There is no hyperparameter "{name}" (given as {_shown(item["input"])}); {advice}'
    field = model.model_fields[name]
    guess = nearest(str(item["input"]), map(str, get_args(plain_type(field))))
    return (
        f"{name} is {_shown(item['input'])}; it takes {allowed(field)}"
        + (", or can be left out." if field.default is None else ".")
        + (f" Did you mean {guess}?" if guess else "")
    )


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_VALUE_SHOWN else text[: LONGEST_VALUE_SHOWN - 3] + "..."


def _shown_default(default: object) -> str:
    return "none" if default is None else f"`{default}`"


def _bound(field: FieldInfo, kind: type, attribute: str) -> Any:
    bounds = (getattr(item, attribute) for item in field.metadata if isinstance(item, kind))
    return next(bounds, None)


def _whole_range(field: FieldInfo) -> str:
    """The range of whole numbers; open ends are closed by going one further: above 16 is at least 17."""
    above, below = _bound(field, annotated_types.Gt, "gt"), _bound(field, annotated_types.Lt, "lt")
    lowest = above + 1 if above is not None else _bound(field, annotated_types.Ge, "ge")
    highest = below - 1 if below is not None else _bound(field, annotated_types.Le, "le")
    return f" of at least {lowest}" if highest is None else f" from {lowest} to {highest}"


def _real_range(field: FieldInfo) -> str:
    above, below = _bound(field, annotated_types.Gt, "gt"), _bound(field, annotated_types.Lt, "lt")
    lowest, highest = _bound(field, annotated_types.Ge, "ge"), _bound(field, annotated_types.Le, "le")
    if above is None and below is None:
        return f" from {lowest} to {highest}"
    lower_end = f" above {above}" if above is not None else f" of at least {lowest}"
    upper_end = f" below {below}" if below is not None else f" at most {highest}"
    return f"{lower_end} and{upper_end}"
