"""One request for a mask, from its headers to its answer.

Knows SageMaker's headers and the line of metrics of each answer. Refuses to know how models are kept and how images are
computed.

Source: SageMaker's contract, sections 5.4, 6.2 and 6.4.
"""

import asyncio
import json
import logging
import time
from contextlib import AbstractContextManager, ExitStack
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from segwright.inference import Model
from segwright.serving.accept import NotAcceptableError, ResponseFormat, negotiate
from segwright.serving.content_encoding import Body, content_codings
from segwright.serving.inference_pool import InferencePool
from segwright.serving.requests import check_content_type, read_body
from segwright.serving.responses import SlotResponse
from segwright.serving.settings import ServingSettings
from segwright.standard_streams import LOG
from segwright.wording import plain

logger = logging.getLogger(__name__)

CUSTOM_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
_TARGET_MODEL: Final = "X-Amzn-SageMaker-Target-Model"
_SHOWN: Final = 200  # characters of a path in the log
_SMALLER: Final = "send a smaller or more compressed image, or raise SAGEMAKER_MAX_PAYLOAD_IN_MB."


class Invocations:
    """Answers requests for masks with whatever model it is given."""

    def __init__(self, scorer: InferencePool, settings: ServingSettings) -> None:
        self._scorer, self._settings = scorer, settings

    async def answer(self, request: Request, loan: AbstractContextManager[Model]) -> Response:
        """The answer of a model to the image in a request; the model is borrowed when the image is there. Raises
        HTTPException where there is none.
        """
        start = time.time()
        deadline = asyncio.get_running_loop().time() + self._settings.timeout
        form = self._form(request)
        check_content_type(request)
        codings = content_codings(request)
        with ExitStack() as place:
            place.enter_context(self._scorer.place())
            largest = self._settings.max_payload
            body = Body(await read_body(request, largest, deadline, _SMALLER), codings, largest, _SMALLER)
            answer = await self._scorer.score(loan, body, form, _gone(request), deadline)
            print(f"#metrics {json.dumps(_metrics(start, time.time()))}", file=LOG, flush=True)
            headers = {"Content-Type": form.content_type, **echoed(request)}
            return SlotResponse(answer, place.pop_all(), self._settings.timeout, headers)

    def _form(self, request: Request) -> ResponseFormat:
        try:
            return negotiate(", ".join(request.headers.getlist("accept")), self._settings.default_form)
        except NotAcceptableError as error:
            raise HTTPException(406, str(error)) from error


def refusal(request: Request, error: Exception) -> Response:
    """The answer to what cannot be answered: one sentence as plain text."""
    if isinstance(error, HTTPException):
        status, sentence = error.status_code, error.detail
        target = request.headers.get(_TARGET_MODEL, "")
        what = " ".join(filter(None, (request.method, request.url.path[:_SHOWN], target)))
        line = " ".join(f"{status} for {what}: {sentence}".split())  # a path may hold line feeds
        logger.log(logging.INFO if status < 500 else logging.WARNING, line)
        headers = {**(error.headers or {}), **echoed(request)}
    else:
        status, headers = 500, {"Connection": "close", **echoed(request)}  # uvicorn closes it after a traceback
        sentence = "The server failed at this request, which is a fault of its own: its log says more."
    return PlainTextResponse(plain(" ".join(sentence.split())), status, headers)


def echoed(request: Request) -> dict[str, str]:
    """The headers of an answer that repeat what the client sent: its custom attributes."""
    attributes = request.headers.get(CUSTOM_ATTRIBUTES)
    return {CUSTOM_ATTRIBUTES: attributes} if attributes else {}


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
