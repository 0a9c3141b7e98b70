"""One request for a mask, from its headers to its answer.

Knows SageMaker's headers and the line of metrics of each answer. Refuses to know how models are kept and how images are
computed.

Source: SageMaker's contract, sections 5.4, 6.2 and 6.4.
"""

import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from segwright.console import LOGGER
from segwright.inference import Model
from segwright.serving.accept import NotAcceptableError, choose_form
from segwright.serving.requests import check_content_type, read_body
from segwright.serving.scoring import Scorer
from segwright.serving.settings import ServingSettings

CUSTOM_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
_TARGET_MODEL: Final = "X-Amzn-SageMaker-Target-Model"
_PIECE: Final = 1 << 20  # bytes


class Invocations:
    """Answers requests for masks with whatever model it is given."""

    def __init__(self, scorer: Scorer, settings: ServingSettings) -> None:
        self._scorer, self._settings = scorer, settings

    async def answer(self, request: Request, model: Model) -> Response:
        """The answer of a model to the image in a request. Raises HTTPException where there is none."""
        start = time.time()
        try:
            form = choose_form(", ".join(request.headers.getlist("accept")), self._settings.default_form)
        except NotAcceptableError as error:
            raise HTTPException(406, str(error)) from error
        check_content_type(request)
        with self._scorer.place():
            body = await read_body(request, self._settings.max_payload)
            answer = await self._scorer.score(model, body, form, _gone(request))
        print(f"#metrics {json.dumps(_metrics(start, time.time()))}", flush=True)
        headers = {"Content-Length": str(len(answer)), **echoed(request)}
        return StreamingResponse(_pieces(answer), media_type=form.content_type, headers=headers)


def refusal(request: Request, error: Exception) -> Response:
    """The answer to what cannot be answered: one sentence as plain text."""
    if isinstance(error, HTTPException):
        status, sentence = error.status_code, error.detail
        target = request.headers.get(_TARGET_MODEL, "")
        what = " ".join(filter(None, (request.method, request.url.path, target)))
        LOGGER.log(logging.INFO if status < 500 else logging.WARNING, f"{status} for {what}: {sentence}")
        headers = {**(error.headers or {}), **echoed(request)}
    else:
        status, headers = 500, echoed(request)
        sentence = "The server failed at this request, which is a fault of its own: its log says more."
    return PlainTextResponse(" ".join(sentence.split()), status, headers)


def echoed(request: Request) -> dict[str, str]:
    """The headers of an answer that repeat what the client sent: its custom attributes."""
    attributes = request.headers.get(CUSTOM_ATTRIBUTES)
    return {CUSTOM_ATTRIBUTES: attributes} if attributes else {}


async def _pieces(answer: bytes) -> AsyncIterator[bytes]:
    """An answer bit by bit, or else copying half a gigabyte would keep the event loop from all others."""
    for start in range(0, len(answer), _PIECE):
        yield answer[start : start + _PIECE]


async def _gone(request: Request) -> None:
    """Wait until the client of a request whose body has been read hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _metrics(start: float, end: float) -> dict[str, object]:
    """What the original says of each image that it scored; times are seconds since 1970."""
    return {
        "StartTime": start,
        "EndTime": end,
        "Dimensions": {"Algorithm": "SemanticSegmentationModel", "Host": "UNKNOWN", "Operation": "scoring"},
        "Metrics": {"invocations.count": {"sum": 1.0, "count": 1, "min": 1, "max": 1}},
    }
