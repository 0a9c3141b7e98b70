"""Content negotiation: an Accept header becomes the format of a response.

All options are parameters of Accept, since it is one of the few headers that SageMaker passes on.
Source: RFC 9110, section 12.5.1; SageMaker's contract, section 5.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from segwright.errors import UserError

PNG: Final = "image/png"
RECORDIO: Final = "application/x-recordio-protobuf"
RECORDIO_SHORT: Final = "application/x-protobuf"
NPY: Final = "application/x-npy"
JSON: Final = "application/json"

_Parameters = Mapping[str, tuple[str, ...]]
_SHARE: Final = ("a number from 0 to 1",)  # in place of values to choose from
_OFFERED: Final[Mapping[str, _Parameters]] = {
    RECORDIO: {},
    RECORDIO_SHORT: {},
    PNG: {"palette": ("0", "1"), "unsure": _SHARE, "on_error": ("empty",)},
    NPY: {
        "output": ("mask", "confidence", "probabilities"),
        "dtype": ("uint8",),
        "unsure": _SHARE,
        "gzip": ("0", "1"),
        "on_error": ("empty",),
    },
    JSON: {"charset": ("utf-8",), "unsure": _SHARE, "on_error": ("empty",)},
}
"""Media types in the order in which `*/*` takes them, with the values of their parameters."""

_NPY_PROBABILITIES: Final[_Parameters] = {
    "output": ("mask", "confidence", "probabilities"),
    "dtype": ("float32", "float16"),
    "gzip": ("0", "1"),
}
_NPY_CONFIDENCE: Final[_Parameters] = {**_NPY_PROBABILITIES, "dtype": ("uint8",)}
_MAX_LENGTH: Final = 1024  # characters of a header; those of browsers have about two hundred
_SHOWN: Final = 100  # characters of a header in a message


@dataclass(frozen=True)
class ResponseFormat:
    """The format of one response."""

    content_type: str = RECORDIO
    probabilities: bool = True  # whether it holds probabilities, [C, H, W], or class numbers, [H, W]
    confidence: bool = False  # whether class numbers come with their probabilities times 255, [2, H, W]
    dtype: str = "float32"
    palette: bool = False
    gzip: bool = False
    unsure: float = 0.0  # pixels whose class has a probability below this become 255
    empty_on_error: bool = False  # whether an image that cannot be read gets a mask of 255 in place of an error


class NotAcceptableError(UserError):
    """An Accept header that names nothing that is offered."""


def negotiate(accept: str, default: ResponseFormat) -> ResponseFormat:
    """The format that a header prefers; `default` where it is empty or leaves the choice (`*/*`).

    Equal qualities go by their order. Raises NotAcceptableError, with what is offered, for a header that names none of
    it, gives a type a parameter that it does not take, or is too long.
    """
    if len(accept) > _MAX_LENGTH:
        raise NotAcceptableError(
            f"Accept has {len(accept):,} characters, but {_MAX_LENGTH:,} are read at most: name the one type you want."
        )
    if not accept.strip():
        return default
    ranges = [_parse_range(element) for element in accept.split(",")]
    named = {name for name, _, _ in ranges}
    errors = []
    for name, parameters, _ in sorted((each for each in ranges if each[2] > 0), key=lambda each: -each[2]):
        for media_type in _matches(name, named, default):
            if media_type == default.content_type != name and not parameters:
                return default
            try:
                return _response_format(media_type, parameters)
            except NotAcceptableError as error:
                errors.append(error)
    if errors:
        raise errors[0]
    offered = ", ".join(sorted(_OFFERED))
    raise NotAcceptableError(f"Accept is {_short(accept)}, but answers come as {offered}: ask for one of these.")


def _parse_range(element: str) -> tuple[str, Mapping[str, str], float]:
    """Media range, parameters and quality of one element of a header."""
    name, *rest = (part.strip() for part in element.lower().split(";"))
    pairs = (part.partition("=") for part in rest if part)
    parameters = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 0.0
    return "*/*" if name == "*" else name, parameters, min(quality, 1.0)


def _matches(name: str, named: set[str], default: ResponseFormat) -> Sequence[str]:
    """The offered types of a media range, the default first; a wildcard leaves out what more specific ranges name."""
    if "*" not in name:
        return [name] if name in _OFFERED else []
    start = "" if name == "*/*" else name.removesuffix("*")
    others = named - {name}
    return [
        media_type
        for media_type in sorted(_OFFERED, key=lambda each: each != default.content_type)
        if media_type.startswith(start) and others.isdisjoint((media_type, f"{media_type.partition('/')[0]}/*"))
    ]


def _response_format(media_type: str, parameters: Mapping[str, str]) -> ResponseFormat:
    label, known, output = media_type, _OFFERED[media_type], parameters.get("output", "mask")
    if media_type == NPY and output in known["output"]:
        by_output = {"mask": known, "confidence": _NPY_CONFIDENCE, "probabilities": _NPY_PROBABILITIES}
        label, known = f"{NPY} with output={output}", by_output[output]
    for name, value in parameters.items():
        if name not in known:
            allowed = ", ".join(known) or "no parameters"
            raise NotAcceptableError(f"Accept: {label} has no parameter {_short(name)}; it takes {allowed}.")
        if not (_is_share(value) if known[name] is _SHARE else value in known[name]):
            allowed = " or ".join(f"{name}={choice}" for choice in known[name])
            raise NotAcceptableError(f"Accept: {label} takes {allowed}, not {name}={_short(value)}.")
    if media_type in (RECORDIO, RECORDIO_SHORT):
        return ResponseFormat(media_type)
    return ResponseFormat(
        media_type,
        probabilities=known is _NPY_PROBABILITIES,
        confidence=known is _NPY_CONFIDENCE,
        dtype=parameters.get("dtype", known.get("dtype", ("uint8",))[0]),
        palette=parameters.get("palette") == "1",
        gzip=parameters.get("gzip") == "1",
        unsure=float(parameters.get("unsure", 0)),
        empty_on_error="on_error" in parameters,
    )


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
