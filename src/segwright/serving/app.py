"""The routes of the server, for one model and for many. Source: SageMaker's contract, sections 5.4 and 6.2 to 6.4."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
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
from starlette.types import ASGIApp, Receive, Scope, Send

from segwright.inference import Model
from segwright.serving.inference_pool import InferencePool
from segwright.serving.invocations import error_response, respond
from segwright.serving.metrics import Models, ServerMetrics
from segwright.serving.middleware import drain_request_body, respond_on_shutdown
from segwright.serving.multi_model import ModelStore
from segwright.serving.page import page_routes
from segwright.serving.request_log import record_requests
from segwright.serving.requests import read_body

EXECUTION_PARAMETERS: Final = {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 10}

_MAX_MESSAGE: Final = 1 << 16  # bytes of JSON
_MESSAGE_TIMEOUT: Final = 60  # seconds
_CLIENT_CLOSED: Final = 499  # the client does not receive it
_SHOWN: Final = 200  # characters of a path in a message


@dataclass
class ModelHolder:
    """The one model of a server, None while it is loaded."""

    model: Model | None = None
    name: str = "model"


def single_model_app(holder: ModelHolder, pool: InferencePool) -> ASGIApp:
    """The application that serves one model."""

    async def invoke(request: Request) -> Response:
        if holder.model is None:
            sentence = "The model is still being loaded: send the request again in a moment."
            raise HTTPException(503, sentence, {"Retry-After": "1"})
        return await respond(request, nullcontext(holder.model), pool)

    page = page_routes(lambda: holder.model) if pool.settings.page else ()
    routes = [Route("/invocations", invoke, methods=["POST"]), *page]

    def models() -> Mapping[str, Model]:
        return {holder.name: holder.model} if holder.model else {}

    return _app(routes, pool, models, lambda: holder.model is not None)


def multi_model_app(store: ModelStore, pool: InferencePool) -> ASGIApp:
    """The application that loads, lists, serves and unloads models."""

    async def load(request: Request) -> Response:
        deadline = asyncio.get_running_loop().time() + _MESSAGE_TIMEOUT
        body = await read_body(request, _MAX_MESSAGE, deadline, "send nothing but model_name and url.")
        try:
            document = json.loads(body.decoded())
            name, url = document["model_name"], document["url"]
            f"{name}{url}".encode()  # JSON can spell halves of characters, which nothing else can
        except (ValueError, TypeError, KeyError, RecursionError):
            name = url = None
        if not (isinstance(name, str) and isinstance(url, str)):
            raise HTTPException(400, 'The body takes JSON of two texts: {"model_name": "...", "url": "..."}.')
        await store.load(name, url)
        return JSONResponse(store.describe(name))

    async def page(request: Request) -> Response:
        return JSONResponse(store.page(request.query_params.get("next_page_token", "")))

    async def describe(request: Request) -> Response:
        return JSONResponse(store.describe(request.path_params["name"]))

    async def unload(request: Request) -> Response:
        await store.unload(request.path_params["name"])
        return Response()

    async def invoke(request: Request) -> Response:
        name = request.path_params["name"]
        store.describe(name)  # 404 before the image is read
        return await respond(request, store.borrow(name), pool)

    routes = [
        Route("/models", load, methods=["POST"]),
        Route("/models", page, methods=["GET"]),
        Route("/models/{name}", describe, methods=["GET"]),
        Route("/models/{name}", unload, methods=["DELETE"]),
        Route("/models/{name}/invoke", invoke, methods=["POST"]),
    ]
    return _app(routes, pool, store.models, lambda: True)


def _app(routes: Sequence[Route], pool: InferencePool, models: Models, ready: Callable[[], bool]) -> ASGIApp:
    metrics = ServerMetrics(pool, models)

    async def ping(_: Request) -> Response:
        return Response(status_code=200 if ready() and not pool.broken else 503)

    async def execution_parameters(_: Request) -> Response:
        return JSONResponse(EXECUTION_PARAMETERS)

    async def numbers(_: Request) -> Response:
        return metrics.response()

    async def on_disconnect(_request: Request, _error: Exception) -> Response:
        return Response(status_code=_CLIENT_CLOSED)

    known = [
        Route("/ping", ping, methods=["GET"]),
        Route("/execution-parameters", execution_parameters, methods=["GET"]),
        *([Route("/metrics", numbers, methods=["GET"])] if pool.settings.metrics else []),
        *routes,
    ]
    app = Starlette(
        routes=[*known, _Fallback(known)],
        exception_handlers={HTTPException: error_response, ClientDisconnect: on_disconnect, Exception: error_response},
        middleware=[Middleware(respond_on_shutdown), Middleware(drain_request_body)],
    )
    return record_requests(app, pool.settings.access_log, metrics.observe)


class _Fallback(BaseRoute):
    """Matches all that the routes before it do not; the error lists what there is."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Always a full match: Starlette's own 405 knows the methods of one route only."""
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise HTTPException 405 for a known path, 404 for others."""
        path = scope["path"][:_SHOWN]
        matching = [route.methods or () for route in self._routes if route.matches(scope)[0] is not Match.NONE]
        known = ", ".join(
            f"{method} {route.path.replace('{name}', 'NAME')}"
            for route in self._routes
            for method in (route.methods or set()) - {"HEAD"}
        )
        if methods := sorted(set().union(*matching)):
            sentence = f"{path} takes {' or '.join(methods)}, not {scope['method']}; this server knows {known}."
            if "access-control-request-method" in Headers(scope=scope):
                sentence += " A page of another origin asks here: allow_origin admits it."
            raise HTTPException(405, sentence, {"Allow": ", ".join(methods)})
        raise HTTPException(404, f"There is nothing at {path}; this server knows {known}.")
