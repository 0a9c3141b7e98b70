"""What a client would like to have: an Accept header becomes the form of an answer.

Knows the media types that are offered and their parameters. All choices are parameters of Accept, since it is one of
the few headers that SageMaker lets through. Refuses to know how an answer is made.

Source: RFC 9110, section 12.5.1; SageMaker's contract, section 5.2.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
    PNG: {"palette": ("0", "1"), "on_error": ("empty",)},
    NPY: {
        "output": ("mask", "probabilities"),
        "dtype": ("uint8", "float32", "float16"),
        "gzip": ("0", "1"),
        "on_error": ("empty",),
    },
    JSON: {"charset": ("utf-8",), "on_error": ("empty",)},
}
"""What is offered, in the order in which `*/*` takes it, and the parameters that each type has."""

_DTYPES: Final = {"mask": ("uint8",), "probabilities": ("float32", "float16")}
"""The number formats of each output, the default first."""

_LONGEST: Final = 1024  # characters of a header; those of browsers have about two hundred
_SHOWN: Final = 100  # characters of a header in a message

# Possessive, so that each character is looked at once, whatever a stranger sends.
_ELEMENTS: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.?)*+"?)++')
_PARTS: Final = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.?)*+"?)++')
_NUMBER: Final = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")


@dataclass(frozen=True)
class ResponseFormat:
    """The form of one answer."""

    content_type: str = RECORDIO
    probabilities: bool = True
    """Whether it holds probabilities, [C, H, W], or class numbers, [H, W]."""
    dtype: str = "float32"
    palette: bool = False
    gzip: bool = False
    empty_on_error: bool = False
    """Whether a picture that cannot be read gets a mask of 255 everywhere in place of a refusal."""


class NotAcceptableError(UserError):
    """An Accept header that asks for nothing that is offered."""


@dataclass(frozen=True)
class _Range:
    """One media range of a header, in lower case; parameters in their order, without q."""

    kind: str
    parameters: Sequence[tuple[str, str]] = ()
    quality: float = 1.0


def negotiate(accept: str, default: ResponseFormat) -> ResponseFormat:
    """The form that a header asks for most; `default` where it is empty or leaves the choice (`*/*`).

    Equally wanted ones go by their order; the parameters of a wildcard are those of the type that it becomes. Raises
    NotAcceptableError, which says what is offered, for a header that names none of it, gives a type a parameter that it
    does not take, or is longer than 1,024 characters.
    """
    if len(accept) > _LONGEST:
        raise NotAcceptableError(
            f"Accept has {len(accept):,} characters, but {_LONGEST:,} are read at most: name the one type you want."
        )
    if not accept.strip():
        return default
    ranges = [_range(element) for element in _ELEMENTS.findall(accept)]
    named = {entry.kind for entry in ranges}
    refusals = []
    for wanted in sorted(ranges, key=lambda entry: -entry.quality):
        if wanted.quality <= 0:
            break
        for kind in _kinds(wanted.kind, named, default.content_type):
            leaves_the_choice = kind != wanted.kind and not wanted.parameters
            if leaves_the_choice and kind == default.content_type:
                return default
            try:
                return _form(kind, wanted.parameters)
            except NotAcceptableError as error:
                refusals.append(error)
    if refusals:
        raise refusals[0]
    offered = ", ".join(sorted(_PARAMETERS))
    raise NotAcceptableError(f"Accept is {_short(accept)}, but answers come as {offered}: ask for one of these.")


def _range(element: str) -> _Range:
    kind, *parts = (part.strip() for part in _PARTS.findall(element) or [""])
    given = [_parameter(part) for part in parts if part]
    quality = next((value for name, value in given if name == "q"), "1")
    kind = "*/*" if kind == "*" else kind.lower()  # as Java says it
    return _Range(kind, [entry for entry in given if entry[0] != "q"], _quality(quality))


def _parameter(part: str) -> tuple[str, str]:
    """Name and value of a parameter, in lower case; the value is empty where there is none."""
    name, _, value = part.partition("=")
    value = value.strip()
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:].removesuffix('"'))
    return name.strip().lower(), value.lower()


def _quality(text: str) -> float:
    """The weight of a range, from 0 to 1; 0, not wanted, where it is no number."""
    return min(max(float(text), 0.0), 1.0) if _NUMBER.fullmatch(text) else 0.0


def _kinds(kind: str, named: Collection[str], first: str) -> list[str]:
    """The offered types that a range stands for, `first` before others; a wildcard leaves out what a more specific
    range names.
    """
    if "*" not in kind:
        return [kind] if kind in _PARAMETERS else []
    family = kind.removesuffix("*")
    return [
        other
        for other in (first, *(other for other in _PARAMETERS if other != first))
        if other not in named
        and (kind == "*/*" or other.startswith(family))
        and not (kind == "*/*" and f"{other.partition('/')[0]}/*" in named)
    ]


def _form(kind: str, given: Sequence[tuple[str, str]]) -> ResponseFormat:
    """The form of an offered type with the parameters given to it."""
    parameters = dict(given)
    for name, value in given:
        _check_parameter(kind, name, value)
    if len(parameters) < len(given):
        names = [name for name, _ in given]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotAcceptableError(f"Accept: {kind} takes {twice} once, not several times.")
    if kind in (RECORDIO, RECORDIO_SHORT):
        return ResponseFormat(kind)
    output = parameters.get("output", "mask")
    dtype = parameters.get("dtype", _DTYPES[output][0])
    if dtype not in _DTYPES[output]:
        fitting = " or ".join(_DTYPES[output])
        raise NotAcceptableError(f"Accept: {kind} with output={output} takes dtype={fitting}, not {_short(dtype)}.")
    if output == "probabilities" and "on_error" in parameters:
        raise NotAcceptableError(f"Accept: {kind} with output={output} takes no on_error; it goes with output=mask.")
    return ResponseFormat(
        kind,
        probabilities=output == "probabilities",
        dtype=dtype,
        palette=parameters.get("palette") == "1",
        gzip=parameters.get("gzip") == "1",
        empty_on_error="on_error" in parameters,
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
