"""The paths of the server, for one model and for many.

Knows SageMaker's addresses and what each of them takes and gives. Refuses to know how models are loaded, and sockets.

Source: SageMaker's contract, sections 5.4 and 6.2 to 6.4.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segwright.inference import Model
from segwright.serving.invocations import Invocations, refusal
from segwright.serving.multi_model import ModelShelf
from segwright.serving.requests import read_body
from segwright.serving.scoring import Scorer

EXECUTION_PARAMETERS: Final = {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 10}
"""What the original announces to batch transform."""

_LARGEST_MESSAGE: Final = 1 << 16  # bytes of JSON
_HUNG_UP: Final = 499  # nobody receives it


@dataclass
class ModelSlot:
    """The place of the one model of a server, empty while it is loaded."""

    model: Model | None = None


def single_model_app(slot: ModelSlot, scorer: Scorer, invocations: Invocations) -> Starlette:
    """The application that serves the model in a slot."""

    async def invoke(request: Request) -> Response:
        if slot.model is None:
            raise HTTPException(503, "The model is still being loaded: send the request again in a moment.")
        return await invocations.answer(request, slot.model)

    return _app([Route("/invocations", invoke, methods=["POST"])], scorer, lambda: slot.model is not None)


def multi_model_app(shelf: ModelShelf, scorer: Scorer, invocations: Invocations) -> Starlette:
    """The application that loads, lists, serves and unloads the models of a shelf."""

    async def load(request: Request) -> Response:
        name, url = await _model_and_url(request)
        await shelf.load(name, url)
        return JSONResponse(shelf.describe(name))

    async def page(request: Request) -> Response:
        return JSONResponse(shelf.page(request.query_params.get("next_page_token", "")))

    async def describe(request: Request) -> Response:
        return JSONResponse(shelf.describe(request.path_params["name"]))

    async def unload(request: Request) -> Response:
        await shelf.unload(request.path_params["name"])
        return Response()

    async def invoke(request: Request) -> Response:
        with shelf.lend(request.path_params["name"]) as model:
            return await invocations.answer(request, model)

    routes = [
        Route("/models", load, methods=["POST"]),
        Route("/models", page, methods=["GET"]),
        Route("/models/{name}", describe, methods=["GET"]),
        Route("/models/{name}", unload, methods=["DELETE"]),
        Route("/models/{name}/invoke", invoke, methods=["POST"]),
    ]
    return _app(routes, scorer, lambda: True)


def _app(routes: Sequence[Route], scorer: Scorer, ready: Callable[[], bool]) -> Starlette:
    async def ping(_: Request) -> Response:
        return Response(status_code=200 if ready() and not scorer.broken else 503)

    async def execution_parameters(_: Request) -> Response:
        return JSONResponse(EXECUTION_PARAMETERS)

    async def refuse(request: Request, error: Exception) -> Response:
        return refusal(request, error)

    async def hung_up(_request: Request, _error: Exception) -> Response:
        return Response(status_code=_HUNG_UP)

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/execution-parameters", execution_parameters, methods=["GET"]),
            *routes,
        ],
        exception_handlers={HTTPException: refuse, ClientDisconnect: hung_up, Exception: refuse},
    )


async def _model_and_url(request: Request) -> tuple[str, str]:
    """What a request to load a model names. Raises HTTPException 400 for anything else."""
    try:
        message = json.loads(await read_body(request, _LARGEST_MESSAGE))
        name, url = message["model_name"], message["url"]
    except (ValueError, TypeError, KeyError, RecursionError):
        name = url = None
    if not (isinstance(name, str) and isinstance(url, str)):
        raise HTTPException(400, 'The body takes JSON of two texts: {"model_name": "...", "url": "..."}.')
    return name, url
