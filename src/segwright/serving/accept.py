"""What a client would like to have: an Accept header becomes the form of an answer.

Knows the media types that are offered and their parameters. All choices are parameters of Accept, since it is one of
the few headers that SageMaker lets through. Refuses to know how an answer is made.

Source: RFC 9110, section 12.5.1; SageMaker's contract, section 5.2.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from segwright.errors import UserError

PNG: Final = "image/png"
RECORDIO: Final = "application/x-recordio-protobuf"
RECORDIO_SHORT: Final = "application/x-protobuf"
NPY: Final = "application/x-npy"
JSON: Final = "application/json"

_PARAMETERS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    RECORDIO: {},
    RECORDIO_SHORT: {},
    PNG: {"palette": ("0", "1")},
    NPY: {
        "output": ("mask", "probabilities"),
        "dtype": ("uint8", "float32", "float16"),
        "gzip": ("0", "1"),
    },
    JSON: {"charset": ("utf-8",)},
}
"""What is offered, in the order in which `*/*` takes it, and the parameters that each type has."""

_DTYPES: Final = {"mask": ("uint8",), "probabilities": ("float32", "float16")}
"""The number formats of each output, the default first."""

_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)')
_SHOWN: Final = 100  # characters of a header in a message


@dataclass(frozen=True)
class AnswerForm:
    """The form of one answer."""

    content_type: str = RECORDIO
    probabilities: bool = True
    """Whether it holds probabilities, [C, H, W], or class numbers, [H, W]."""
    dtype: str = "float32"
    palette: bool = False
    gzip: bool = False


class NotAcceptableError(UserError):
    """An Accept header that asks for nothing that is offered."""


@dataclass(frozen=True)
class _Range:
    """One media range of a header, in lower case."""

    kind: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    quality: float = 1.0


def choose_form(accept: str, default: AnswerForm) -> AnswerForm:
    """The form that a header asks for most; `default` where it is empty or leaves the choice (`*/*`).

    Equally wanted ones go by their order. Raises NotAcceptableError, which says what is offered, for a header that
    names none of it or gives a parameter a value that it does not take.
    """
    if not accept.strip():
        return default
    ranges = list(_ranges(accept))
    refusals = []
    for wanted in sorted(ranges, key=lambda entry: -entry.quality):
        if wanted.quality <= 0:
            break
        for kind in _kinds(wanted.kind, ranges, default):
            try:
                if kind == wanted.kind:
                    return _form(kind, wanted.parameters)
                return default if kind == default.content_type else _form(kind, {})
            except NotAcceptableError as error:
                refusals.append(error)
    if refusals:
        raise refusals[0]
    offered = ", ".join(sorted(_PARAMETERS))
    raise NotAcceptableError(f"Accept is {_short(accept)}, but answers come as {offered}: ask for one of these.")


def _ranges(accept: str) -> Iterator[_Range]:
    for element in _ELEMENT.findall(accept):
        kind, _, _ = element.partition(";")
        given = {name.lower(): _unquoted(value).lower() for name, value in _PARAMETER.findall(element[len(kind) :])}
        yield _Range(kind.strip().lower(), given, _quality(given.pop("q", "1")))


def _quality(text: str) -> float:
    """The weight of a range; 0, not wanted, where it is no number."""
    return float(text) if re.fullmatch(r"[01](\.\d*)?", text) else 0.0


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _kinds(kind: str, ranges: list[_Range], default: AnswerForm) -> list[str]:
    """The offered types that a range stands for; a wildcard leaves out what a more specific range names."""
    if "*" not in kind:
        return [kind] if kind in _PARAMETERS else []
    named = {other.kind for other in ranges}
    offered = [default.content_type, *(other for other in _PARAMETERS if other != default.content_type)]
    family = kind.removesuffix("*")
    return [
        other
        for other in offered
        if other not in named
        and (kind == "*/*" or other.startswith(family))
        and not (kind == "*/*" and f"{other.partition('/')[0]}/*" in named)
    ]


def _form(kind: str, parameters: Mapping[str, str]) -> AnswerForm:
    """The form of an offered type with the parameters given to it."""
    for name, value in parameters.items():
        _check_parameter(kind, name, value)
    if kind in (RECORDIO, RECORDIO_SHORT):
        return AnswerForm(kind)
    output = parameters.get("output", "mask")
    dtype = parameters.get("dtype", _DTYPES[output][0])
    if dtype not in _DTYPES[output]:
        fitting = " or ".join(_DTYPES[output])
        raise NotAcceptableError(f"Accept: {kind} with output={output} takes dtype={fitting}, not {_short(dtype)}.")
    return AnswerForm(
        kind,
        probabilities=output == "probabilities",
        dtype=dtype,
        palette=parameters.get("palette") == "1",
        gzip=parameters.get("gzip") == "1",
    )


def _check_parameter(kind: str, name: str, value: str) -> None:
    known = _PARAMETERS[kind]
    if name not in known:
        allowed = ", ".join(known) or "no parameters"
        raise NotAcceptableError(f"Accept: {kind} has no parameter {_short(name)}; it takes {allowed}.")
    if value not in known[name]:
        allowed = " or ".join(f"{name}={choice}" for choice in known[name])
        raise NotAcceptableError(f"Accept: {kind} takes {allowed}, not {name}={_short(value)}.")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
