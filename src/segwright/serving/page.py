"""The page at `/`, where a person tries the model in a browser. It is plain files, which the server sends as they are.

The page may load, run and send nothing but what this server has. Source: Content Security Policy Level 3, W3C.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segwright.inference import Model
from segwright.pages import STYLE
from segwright.visualization import background

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def page_routes(loaded: Callable[[], Model | None]) -> Sequence[Route]:
    """`/`, its files, and the model in words; `loaded` gives None while the model is being loaded."""
    folder = files(__package__).joinpath("page_files")
    contents = {file.name: file.read_text("utf-8") for file in folder.iterdir()} | {"style.css": STYLE}

    def send(name: str) -> Response:
        media_type = _TYPES[name.rpartition(".")[2]]
        return Response(contents[name], media_type=media_type, headers=_HEADERS)

    async def page(_: Request) -> Response:
        return send("index.html")

    async def file(request: Request) -> Response:
        if (name := request.path_params["name"]) not in contents:
            raise HTTPException(404, f"The page has no file {name[:100]}: open / in a browser.")
        return send(name)

    async def model(_: Request) -> Response:
        if (model := loaded()) is None:
            raise HTTPException(503, "The model is still being loaded: ask again in a moment.")
        return JSONResponse(describe(model), headers=_HEADERS)

    return [
        Route("/", page, methods=["GET"]),
        Route("/page/model", model, methods=["GET"]),
        Route("/page/{name}", file, methods=["GET"]),
    ]


def describe(model: Model) -> dict[str, Any]:
    """What the page shows of a model, and what it has to know to show its masks."""
    network = model.description.network
    return {
        "network": f"{network.algorithm}, {network.backbone}",
        "device": model.runtime.device.type,
        "classes": [{"name": entry.name, "colour": entry.colour} for entry in model.description.classes],
        "background": background(model.class_names),
        "upright": model.pixel_format.exif_transposed,
    }
