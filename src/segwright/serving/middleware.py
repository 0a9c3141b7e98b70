"""ASGI middleware: hosts, cross-origin requests, the rest of a body after an early error, and the server's shutdown.

Source: Fetch standard, section 3.2 (CORS protocol); RFC 6454, section 6 (origins as text).
"""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segwright.errors import UserError
from segwright.serving.invocations import CUSTOM_ATTRIBUTES, error_response
from segwright.serving.request_log import REQUEST_ID
from segwright.serving.timing import SERVER_TIMING

logger = logging.getLogger(__name__)

_MAX_DRAINED: Final = 64 << 20  # bytes; a client that sends more may lose the response
_MAX_DRAINING: Final = 5.0  # seconds
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s/?#@:*\[\]]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def refuse_other_hosts(app: ASGIApp, host: str) -> ASGIApp:
    """Where `host` is this machine's own address, answer 400 to requests whose header Host says anything else: a page
    whose name resolves to that address (DNS rebinding) could read all answers.
    """
    if not _is_loopback(host):
        return app
    own = [f"[{host}]" if ":" in host else host, "localhost", "127.0.0.1", "[::1]"]
    return TrustedHostMiddleware(app, own, www_redirect=False)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of some origins use an application. Wraps all of it, so that a page can read errors as well."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=[parse_origin(origin) for origin in origins],
        allow_methods=("GET", "HEAD", "POST"),
        allow_headers=["*"],
        expose_headers=[CUSTOM_ATTRIBUTES, REQUEST_ID, SERVER_TIMING, "Retry-After"],
        allow_private_network=True,  # a laptop's server, used by a page from elsewhere
    )


def parse_origin(text: str) -> str:
    """An origin as browsers send it: `https://app.example`, `http://localhost:3000`, `null` for pages in files, or `*`
    for all. Raises UserError for anything else.
    """
    if text in ("*", "null"):
        return text
    if found := _ORIGIN.fullmatch(text.strip().lower()):
        scheme, host, port = found.groups()
        with suppress(UnicodeError):  # not a host name
            suffix = f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else ""
            return f"{scheme}://{host.encode('idna').decode()}{suffix}"
    raise UserError(
        f"allow_origin is {text[:100]}; it takes the origin of a page, which is scheme, host and port without a path, "
        "such as https://app.example or http://localhost:3000, or * for all pages.",
        name="allow_origin",
        value=text,
    )


def drain_request_body(app: ASGIApp) -> ASGIApp:
    """Read the rest of a request's body, within bounds, before an early response is sent. Many clients read nothing
    before they have sent everything, and lose a response whose connection closes meanwhile.
    """

    async def drained(scope: Scope, receive: Receive, send: Send) -> None:
        complete = "expect" in Headers(scope=scope)  # such a client waits before it sends

        async def receive_noted() -> Message:
            nonlocal complete
            message = await receive()
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def send_late(message: Message) -> None:
            size = 0
            if message["type"] == "http.response.start":
                with suppress(TimeoutError):
                    async with asyncio.timeout(_MAX_DRAINING):
                        while not complete and size <= _MAX_DRAINED:
                            size += len((await receive_noted()).get("body", b""))
            await send(message)

        await app(scope, receive_noted, send_late)

    return drained


def respond_on_shutdown(app: ASGIApp) -> ASGIApp:
    """Answer 503 where the server cancels a request at its end; a response that has begun breaks off."""

    async def responding(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if begun:
                logger.warning("the server ends in the middle of an answer")
                return
            error = HTTPException(503, "The server is about to end: send the request again, to another one or later.")
            response = await error_response(Request(scope), error)
            await response(scope, receive, send)

    return responding
