"""Settings of the server, and SageMaker's environment variables for model servers.

Source: SageMaker's contract, sections 6.2 and 6.3; `parameters.py` of the SageMaker inference toolkit.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from segwright.errors import UserError
from segwright.formats.file_types import MAX_PIXELS
from segwright.serving.accept import PNG, NotAcceptableError, ResponseFormat, negotiate

_MAX_PAYLOAD: Final = 1024  # MiB, as asynchronous endpoints
_MAX_TIMEOUT: Final = 7 * 24 * 3600  # seconds
_SHOWN: Final = 100  # characters of a value in a message

COLOURED_MASK: Final = ResponseFormat(PNG, probabilities=False, dtype="uint8", palette=True)


@dataclass(frozen=True)
class ServingSettings:
    """The defaults are those of an endpoint."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0 takes any free one
    allow_origin: Sequence[str] = ()  # of pages that may send requests, such as `https://app.example`; `*` for all
    page: bool = False  # whether people find a page at `/` where they can try the model
    device: str | None = None
    precision: str = "float32"  # as `inference.load` takes it
    scale: float | None = None  # the network sees images at so many times their size; by default as each model says
    tta: bool = False  # test-time augmentation: means over image and mirror image
    workers: int = 1
    """Images computed at the same time: one uses all cores, or the whole GPU, while others are decoded and encoded."""
    timeout: float = 3600.0
    """Seconds from a request's headers to its response, as an asynchronous endpoint waits; the client has as long again
    to receive it. A real-time endpoint hangs up after 60, which cancels the request."""
    default_format: ResponseFormat = field(default_factory=ResponseFormat)  # where Accept leaves the choice
    max_payload: int = _MAX_PAYLOAD << 20  # bytes of a request
    max_pixels: int = (
        MAX_PIXELS  # of an image, once decoded; RGB takes three bytes each, and a few times that meanwhile
    )
    log_level: int = logging.INFO
    access_log: str = "errors"
    """`text`: a line for each request among the messages; `json`: a line of JSON for each on standard output; `errors`:
    a line of text for each that is refused or fails."""
    metrics: bool = False  # whether there are metrics for Prometheus at /metrics
    log_metrics: bool = False  # a `#metrics` line for each response, as SageMaker's algorithm prints

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], default_format: ResponseFormat | None = None, **settings: Any
    ) -> "ServingSettings":
        """Read SAGEMAKER_MODEL_SERVER_WORKERS, SAGEMAKER_MODEL_SERVER_TIMEOUT (or the newer _TIMEOUT_SECONDS),
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, SAGEMAKER_MAX_PAYLOAD_IN_MB (0 means 1,024) and
        SAGEMAKER_CONTAINER_LOG_LEVEL, where not empty; without the third `default_format` holds. `settings` are the
        other fields. Raises UserError.
        """
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        timeout = "SAGEMAKER_MODEL_SERVER_TIMEOUT"
        if timeout + "_SECONDS" in given:
            timeout += "_SECONDS"
        mebibytes = _whole_number(given, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 0, least=0, most=_MAX_PAYLOAD)
        workers = _whole_number(given, "SAGEMAKER_MODEL_SERVER_WORKERS", cls.workers, most=256)
        seconds = _whole_number(given, timeout, int(cls.timeout), most=_MAX_TIMEOUT)
        accept = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
        try:
            wanted = negotiate(given.get(accept, ""), default_format or ResponseFormat())
        except NotAcceptableError as error:
            raise UserError(f"{accept} cannot be used: {error}", name=accept, value=given[accept]) from None
        return cls(
            workers=workers,
            timeout=seconds,
            default_format=wanted,
            max_payload=(mebibytes or _MAX_PAYLOAD) << 20,
            log_level=_log_level(given),
            **settings,
        )


def _whole_number(given: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int) -> int:
    text = given.get(name, str(default))
    with suppress(ValueError):
        if least <= (number := int(text)) <= most:
            return number
    allowed = f"a whole number from {least} to {most:,}"
    raise UserError(f"{name} is {text[:_SHOWN]}; it takes {allowed}.", name=name, value=text)


def _log_level(given: Mapping[str, str]) -> int:
    name = "SAGEMAKER_CONTAINER_LOG_LEVEL"
    text = given.get(name, "INFO").upper()
    with suppress(ValueError):
        return int(logging.getLevelNamesMapping().get(text, text))
    allowed = "a number such as 20, or DEBUG, INFO, WARNING or ERROR"
    raise UserError(f"{name} is {text[:_SHOWN]}; it takes {allowed}.", name=name, value=text)
