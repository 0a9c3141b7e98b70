"""The paths of the server, for one model and for many.

Knows SageMaker's addresses and what each of them takes and gives. Refuses to know how models are loaded, and sockets.

Source: SageMaker's contract, sections 5.4 and 6.2 to 6.4.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segwright.inference import Model
from segwright.serving.content_encoding import Body, content_codings
from segwright.serving.inference_pool import InferencePool
from segwright.serving.invocations import Invocations, refusal
from segwright.serving.middleware import DrainRequestBody
from segwright.serving.multi_model import ModelStore
from segwright.serving.requests import read_body

logger = logging.getLogger(__name__)

EXECUTION_PARAMETERS: Final = {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 10}
"""What the original announces to batch transform."""

_LARGEST_MESSAGE: Final = 1 << 16  # bytes of JSON
_SLOWEST_MESSAGE: Final = 60  # seconds until it is there
_HUNG_UP: Final = 499  # nobody receives it
_SHOWN: Final = 200  # characters of a path in a message


@dataclass
class ModelHolder:
    """The place of the one model of a server, empty while it is loaded."""

    model: Model | None = None


def single_model_app(slot: ModelHolder, scorer: InferencePool, invocations: Invocations) -> Starlette:
    """The application that serves the model in a slot."""

    async def invoke(request: Request) -> Response:
        if slot.model is None:
            raise HTTPException(503, "The model is still being loaded: send the request again in a moment.")
        return await invocations.answer(request, nullcontext(slot.model))

    return _app([Route("/invocations", invoke, methods=["POST"])], scorer, lambda: slot.model is not None)


def multi_model_app(shelf: ModelStore, scorer: InferencePool, invocations: Invocations) -> Starlette:
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
        name = request.path_params["name"]
        shelf.describe(name)  # which says at once, before the image is read, that there is no such model
        return await invocations.answer(request, shelf.lend(name))

    routes = [
        Route("/models", load, methods=["POST"]),
        Route("/models", page, methods=["GET"]),
        Route("/models/{name}", describe, methods=["GET"]),
        Route("/models/{name}", unload, methods=["DELETE"]),
        Route("/models/{name}/invoke", invoke, methods=["POST"]),
    ]
    return _app(routes, scorer, lambda: True)


def _app(routes: Sequence[Route], scorer: InferencePool, ready: Callable[[], bool]) -> Starlette:
    async def ping(_: Request) -> Response:
        return Response(status_code=200 if ready() and not scorer.broken else 503)

    async def execution_parameters(_: Request) -> Response:
        return JSONResponse(EXECUTION_PARAMETERS)

    async def refuse(request: Request, error: Exception) -> Response:
        return refusal(request, error)

    async def hung_up(_request: Request, _error: Exception) -> Response:
        return Response(status_code=_HUNG_UP)

    known = [
        Route("/ping", ping, methods=["GET"]),
        Route("/execution-parameters", execution_parameters, methods=["GET"]),
        *routes,
    ]
    return Starlette(
        routes=[*known, _Elsewhere(known)],
        exception_handlers={HTTPException: refuse, ClientDisconnect: hung_up, Exception: refuse},
        middleware=[Middleware(ShutdownMiddleware), Middleware(DrainRequestBody)],
    )


class _Elsewhere(BaseRoute):
    """Every path and method that the routes before it do not know."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take whatever comes here."""
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise HTTPException 405 for a method that a path does not take, 404 for other paths, with what there is."""
        path = scope["path"][:_SHOWN]
        here = [route for route in self._routes if route.matches(scope)[0] is not Match.NONE]
        if here:
            methods = sorted(set().union(*(route.methods or () for route in here)))
            sentence = f"{path} takes {' or '.join(methods)}, not {scope['method']}."
            if "access-control-request-method" in Headers(scope=scope):
                sentence += " A page of another origin asks here: segwright serve --allow-origin lets it."
            raise HTTPException(405, sentence, {"Allow": ", ".join(methods)})
        known = ", ".join(map(_spelled, self._routes))
        raise HTTPException(404, f"There is nothing at {path}; this server knows {known}.")


def _spelled(route: Route) -> str:
    (method,) = (route.methods or set()) - {"HEAD"}
    return f"{method} {route.path.replace('{name}', 'NAME')}"


class ShutdownMiddleware:
    """What a request gets that still runs when the server cannot wait any longer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; where it is cancelled, answer 503, or break off what has begun."""
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except asyncio.CancelledError:
            if begun:
                logger.warning("the server ends in the middle of an answer")
                return
            going = HTTPException(503, "The server is about to end: send the request again, to another one or later.")
            await refusal(Request(scope), going)(scope, receive, send)


async def _model_and_url(request: Request) -> tuple[str, str]:
    """What a request to load a model names. Raises HTTPException 400 for anything else."""
    deadline = asyncio.get_running_loop().time() + _SLOWEST_MESSAGE
    codings, smaller = content_codings(request), "send nothing but model_name and url."
    body = Body(await read_body(request, _LARGEST_MESSAGE, deadline, smaller), codings, _LARGEST_MESSAGE, smaller)
    decoded = body.decoded()
    try:
        message = json.loads(decoded)
        name, url = message["model_name"], message["url"]
        f"{name}{url}".encode()  # JSON can spell halves of characters, which nothing else can
    except (ValueError, TypeError, KeyError, RecursionError):
        name = url = None
    if not (isinstance(name, str) and isinstance(url, str)):
        raise HTTPException(400, 'The body takes JSON of two texts: {"model_name": "...", "url": "..."}.')
    return name, url
