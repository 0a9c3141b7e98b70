"""What a client still sends when its answer is there already: a refusal does not wait for the whole body.

Knows that many clients read nothing before they have sent everything, and lose an answer whose connection closes
meanwhile. Refuses to know what is sent, and keeps none of it.
"""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST: Final = 64 << 20  # bytes that are read on; whoever sends more may lose the answer
_LONGEST: Final = 5.0  # seconds


class DrainRequestBody:
    """Reads the rest of a request, within bounds, before an answer begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and hold its answer back until the client can hear it."""
        # Who asks first sends nothing unless it is wanted.
        complete = "expect" in Headers(scope=scope)

        async def note() -> Message:
            nonlocal complete
            message = await receive()
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not complete:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LONGEST):
                        await read_out()
            await send(message)

        async def read_out() -> None:
            size = 0
            while not complete and size <= _MOST:
                size += len((await note()).get("body", b""))

        await self._app(scope, note, answer)
