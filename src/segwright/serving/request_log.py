"""What each request was and how it went: a line in the log, and an id by which client, log and operator name it."""

import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segwright.serving.timing import StageTimes
from segwright.standard_streams import LOG
from segwright.wording import printable

logger = logging.getLogger(__name__)

REQUEST_ID: Final = "X-Request-Id"
_INFERENCE_ID: Final = "X-Amzn-SageMaker-Inference-Id"  # InferenceId of InvokeEndpoint
_SANE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_TARGET_MODEL: Final = "X-Amzn-SageMaker-Target-Model"
_PROBES: Final = ("/ping", "/metrics")  # asked for every few seconds; logged where they begin to fail
_SHOWN: Final = 200  # characters of a path or a name in the log


@dataclass
class RequestRecord:
    """One request; its handlers fill in what they learn."""

    id: str
    method: str
    path: str
    target: str = ""  # the model that it names in a header
    times: StageTimes = field(default_factory=StageTimes)
    size: tuple[int, int] | None = None  # height and width of its image
    status: int = 0  # 0 where no response was begun
    error: str = ""  # the sentence of an error
    received: int = 0  # bytes of the body
    sent: int = 0
    seconds: float = 0.0  # until the response was sent

    @property
    def is_probe(self) -> bool:
        """Whether it only asks how the server is."""
        return self.path in _PROBES

    @property
    def failed(self) -> bool:
        """Whether it was refused, or the server is not well."""
        return bool(self.error) or self.status >= 500


def record_requests(app: ASGIApp, access_log: str, observe: Callable[[RequestRecord], None]) -> ASGIApp:
    """Give each request a record, as `scope["state"]["record"]`, and a response header with its id; log it, and pass it
    to `observe`, at its end. `access_log` is text, json or errors, as in ServingSettings.
    """
    failing = set[str]()  # probes whose last response was an error

    def is_logged(record: RequestRecord) -> bool:
        if not record.is_probe:
            return access_log != "errors" or record.failed
        begins = record.failed and record.path not in failing
        (failing.add if record.failed else failing.discard)(record.path)
        return begins

    async def recording(scope: Scope, receive: Receive, send: Send) -> None:
        record, start = _record_of(scope), time.perf_counter()
        scope.setdefault("state", {})["record"] = record

        async def receive_counted() -> Message:
            message = await receive()
            record.received += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = record.id
            record.sent += len(message.get("body", b""))
            await send(message)

        try:
            await app(scope, receive_counted, send_counted)
        finally:
            record.seconds = time.perf_counter() - start
            if is_logged(record):
                _log(record, access_log)
            observe(record)

    return recording


def _record_of(scope: Scope) -> RequestRecord:
    headers = Headers(scope=scope)
    given = (headers.get(REQUEST_ID, ""), headers.get(_INFERENCE_ID, ""))
    sane = next(filter(_SANE_ID.fullmatch, given), None)
    path, target = scope["path"][:_SHOWN], headers.get(_TARGET_MODEL, "")[:_SHOWN]
    return RequestRecord(sane or secrets.token_hex(8), scope["method"], path, target)


def _log(record: RequestRecord, access_log: str) -> None:
    if access_log == "json":
        LOG.write(json.dumps(_document(record)) + "\n")  # at once: other threads write messages to the same stream
        LOG.flush()
        return
    height, width = record.size or (0, 0)
    words = (
        record.method,
        record.path,
        record.target,
        str(record.status),
        f"{1000 * record.seconds:.0f} ms",
        f"{width}x{height}" if record.size else "",
        record.id,
    )
    line = " ".join(filter(None, words)) + (f": {record.error}" if record.error else "")
    logger.log(logging.INFO if record.status < 500 else logging.WARNING, printable(" ".join(line.split())))


def _document(record: RequestRecord) -> dict[str, Any]:
    """What a line of JSON says; numbers have their units in their names, bytes apart."""
    document = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": record.id,
        "method": record.method,
        "path": record.path,
        "target_model": record.target,
        "status": record.status,
        "milliseconds": round(1000 * record.seconds, 1),
        **{f"{stage}_milliseconds": round(1000 * seconds, 1) for stage, seconds in dict(record.times.seconds).items()},
        "received": record.received,
        "sent": record.sent,
        "error": record.error,
    }
    if record.size:
        document["height"], document["width"] = record.size
    return {name: value for name, value in document.items() if value != ""}
