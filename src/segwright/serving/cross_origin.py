"""Browsers' pages of other origins: which of them may ask.

Knows how an origin is spelled, and leaves preflights and headers to Starlette. Sits outside of all else, so that
refusals and failures can be read by a page as well.

Source: Fetch standard, section 3.2 (CORS protocol); RFC 6454, section 6 (origins as text).
"""

import re
from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from segwright.errors import UserError
from segwright.serving.invocations import CUSTOM_ATTRIBUTES

_ANY: Final = "*"
_OPAQUE: Final = "null"  # of a page in a file
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^\s/?#@:*\[\]]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_METHODS: Final = ("GET", "HEAD", "POST")


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of some origins, which `parse_origin` has read, use an application; without any it stays as it is."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=[_ANY],
        expose_headers=[CUSTOM_ATTRIBUTES],
        allow_private_network=True,  # a laptop's server, asked by a page from elsewhere
    )


def parse_origin(text: str) -> str:
    """An origin as browsers send it: `https://app.example`, `http://localhost:3000`, `null` for pages in files, or `*`
    for all. Raises UserError for anything else.
    """
    if text in (_ANY, _OPAQUE):
        return text
    scheme, host, port = _parts(text)
    if not host:
        raise UserError(
            f"--allow-origin is {text[:100]}; it takes the origin of a page, which is scheme, host and port without a "
            "path, such as https://app.example or http://localhost:3000, or * for all pages."
        )
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else "")


def _parts(text: str) -> tuple[str, str, str]:
    """Scheme, host and port of an origin, as browsers spell them; the host is empty where it is none."""
    if (found := _ORIGIN.fullmatch(text.strip().lower())) is None:
        return "", "", ""
    scheme, host, port = found.group("scheme", "host", "port")
    try:
        return scheme, host.encode("idna").decode(), port or ""
    except UnicodeError:  # a name that no host can have
        return "", "", ""
