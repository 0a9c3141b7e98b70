"""One request for a mask, from headers to response. Source: SageMaker's contract, sections 5.4, 6.2 and 6.4."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from segwright.inference import Model
from segwright.serving.accept import NotAcceptableError, negotiate
from segwright.serving.connections import transfer_time
from segwright.serving.inference_pool import InferencePool
from segwright.serving.requests import check_content_type, read_body
from segwright.serving.timing import SERVER_TIMING
from segwright.standard_streams import LOG
from segwright.wording import printable

logger = logging.getLogger(__name__)

CUSTOM_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
_CURE: Final = "send a smaller or more compressed image, or raise SAGEMAKER_MAX_PAYLOAD_IN_MB."
_PIECE: Final = 1 << 20  # bytes; copying a whole response at once would block the event loop


async def respond(request: Request, lease: AbstractContextManager[Model], pool: InferencePool) -> Response:
    """A model's response to the image in a request; the lease begins when the image is there."""
    start, timeout = time.time(), pool.settings.timeout
    deadline = asyncio.get_running_loop().time() + timeout
    try:
        wanted = negotiate(", ".join(request.headers.getlist("accept")), pool.settings.default_format)
    except NotAcceptableError as error:
        raise HTTPException(406, str(error)) from error
    check_content_type(request)
    with ExitStack() as slot:
        slot.enter_context(pool.admit())
        body = await read_body(request, pool.settings.max_payload, deadline, _CURE)
        record = request.state.record
        content = await pool.infer(lease, body, wanted, _disconnected(request), deadline, record)
        if pool.settings.log_metrics:
            _print_metrics(start)
        timing = {SERVER_TIMING: record.times.header()}
        headers = {"Content-Type": wanted.content_type, **timing, **_echoed(request)}
        return SlotResponse(content, slot.pop_all(), timeout, headers)


class SlotResponse(Response):
    """Holds a slot until all but the last MiB is sent, the client hangs up, or its time is over, `seconds` at most."""

    def __init__(self, content: bytes, slot: ExitStack, seconds: float, headers: Mapping[str, str]) -> None:
        super().__init__(content, headers=headers)
        self._slot, self._seconds = slot, min(seconds, transfer_time(len(content)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it in pieces; the server returns from each call when the piece before it was sent."""
        with self._slot:
            try:
                async with asyncio.timeout(self._seconds):
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    for begin in range(0, len(self.body), _PIECE):
                        piece = self.body[begin : begin + _PIECE]
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            except TimeoutError:  # an incomplete response makes the server close the connection
                logger.warning(f"an answer of {len(self.body):,} bytes was not taken within {self._seconds:g} s")


async def error_response(request: Request, error: Exception) -> Response:
    """An error as one sentence of plain text."""
    headers = _echoed(request)
    if isinstance(error, HTTPException):
        status, sentence = error.status_code, error.detail
        headers = {**(error.headers or {}), **headers}
    else:
        status, headers["Connection"] = 500, "close"  # uvicorn closes it after a traceback
        sentence = "The server failed at this request, which is a fault of its own: its log says more."
    sentence = printable(" ".join(sentence.split()))
    request.state.record.error = sentence
    return PlainTextResponse(sentence, status, headers)


def _print_metrics(start: float) -> None:
    """Print the line of SageMaker's algorithm for a request that came at `start`, in seconds since 1970."""
    metrics = {
        "StartTime": start,
        "EndTime": time.time(),
        "Dimensions": {"Algorithm": "SemanticSegmentationModel", "Host": "UNKNOWN", "Operation": "scoring"},
        "Metrics": {"invocations.count": {"sum": 1.0, "count": 1, "min": 1, "max": 1}},
    }
    LOG.write(f"#metrics {json.dumps(metrics)}\n")
    LOG.flush()


def _echoed(request: Request) -> dict[str, str]:
    attributes = request.headers.get(CUSTOM_ATTRIBUTES)
    return {CUSTOM_ATTRIBUTES: attributes} if attributes else {}


async def _disconnected(request: Request) -> None:
    """Wait until the client of a request whose body has been read hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
