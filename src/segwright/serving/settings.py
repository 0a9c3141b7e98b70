"""How a server is to behave: SageMaker's variables for model servers, in typed form.

Knows the names and units of the variables. Refuses to know what the server does with them.

Source: SageMaker's contract, sections 6.2 and 6.3; `parameters.py` of the SageMaker inference toolkit.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from segwright.errors import UserError
from segwright.serving.accept import NotAcceptableError, ResponseFormat, negotiate

_MEBIBYTE: Final = 1 << 20
_LARGEST_PAYLOAD: Final = 1024
"""MiB: what asynchronous endpoints send at most."""
_MOST_WORKERS: Final = 256
_LONGEST_TIMEOUT: Final = 7 * 24 * 3600
_MOST_DIGITS: Final = 9
_SHOWN: Final = 100  # characters of a value in a message


@dataclass(frozen=True)
class ServingSettings:
    """What operators may set; the defaults suit an endpoint as well as a laptop."""

    workers: int = 1
    """Images computed at the same time. One pass uses all cores, or the whole GPU, by itself; further images are
    decoded and encoded meanwhile."""
    timeout: float = 3600.0
    """Seconds from the headers of a request until its answer is there, upload and waiting included: what an
    asynchronous endpoint waits at most. The client has as long again to take the answer. A real-time endpoint hangs up
    after 60, upon which the request is dropped anyway."""
    default_form: ResponseFormat = field(default_factory=ResponseFormat)
    """The answer where Accept leaves the choice."""
    max_payload: int = _LARGEST_PAYLOAD * _MEBIBYTE
    """Bytes that a request may have."""
    log_level: int = logging.INFO

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "ServingSettings":
        """Read SAGEMAKER_MODEL_SERVER_WORKERS, SAGEMAKER_MODEL_SERVER_TIMEOUT (seconds; the toolkit's newer name
        with _SECONDS goes before it), SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, SAGEMAKER_MAX_PAYLOAD_IN_MB (0 means the
        most, 1,024) and SAGEMAKER_CONTAINER_LOG_LEVEL. Empty ones count as absent.

        Raises UserError that names the variable, its value and what is allowed.
        """
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        timeout = "SAGEMAKER_MODEL_SERVER_TIMEOUT"
        if timeout + "_SECONDS" in given:
            timeout += "_SECONDS"
        mebibytes = _whole_number(given, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 0, least=0, most=_LARGEST_PAYLOAD)
        return cls(
            workers=_whole_number(given, "SAGEMAKER_MODEL_SERVER_WORKERS", cls.workers, most=_MOST_WORKERS),
            timeout=_whole_number(given, timeout, int(cls.timeout), most=_LONGEST_TIMEOUT),
            default_form=_default_form(given),
            max_payload=(mebibytes or _LARGEST_PAYLOAD) * _MEBIBYTE,
            log_level=_log_level(given),
        )


def _whole_number(given: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int) -> int:
    number = _decimal(text := given.get(name, str(default)))
    if number is None or not least <= number <= most:
        raise UserError(f"{name} is {text[:_SHOWN]}; it takes a whole number from {least} to {most:,}.")
    return number


def _decimal(text: str) -> int | None:
    """A number of few digits, or None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _default_form(given: Mapping[str, str]) -> ResponseFormat:
    name = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
    try:
        return negotiate(given.get(name, ""), ResponseFormat())
    except NotAcceptableError as error:
        raise UserError(f"{name} cannot be used: {error}") from None


def _log_level(given: Mapping[str, str]) -> int:
    name = "SAGEMAKER_CONTAINER_LOG_LEVEL"
    text = given.get(name, "INFO").upper()
    if (number := _decimal(text)) is not None:
        return number
    levels = logging.getLevelNamesMapping()
    if text not in levels:
        raise UserError(f"{name} is {text[:_SHOWN]}; it takes a number such as 20, or DEBUG, INFO, WARNING or ERROR.")
    return levels[text]
