"""An answer on its way to its client.

Knows that clients may read slowly, or not at all, and how long that is borne. Refuses to know what is sent.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)


_PIECE: Final = 1 << 20  # bytes; a whole answer at once would keep the event loop from all others while it is copied


class SlotResponse(Response):
    """An answer that is sent bit by bit, and holds something until all of it but the last MiB has been taken, the
    client hangs up, or `seconds` are over, after which the connection is closed.
    """

    def __init__(self, answer: bytes, held: ExitStack, seconds: float, headers: Mapping[str, str]) -> None:
        super().__init__(answer, headers=headers)
        self._held, self._seconds = held, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._held:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._send(send)
            except TimeoutError:  # an answer that breaks off makes the server close the connection
                logger.warning(f"an answer of {len(self.body):,} bytes was not taken within {self._seconds:g} s")

    async def _send(self, send: Send) -> None:
        # The server returns from each call when the piece before it has been taken, or nobody is there any more.
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body), _PIECE):
            piece = self.body[start : start + _PIECE]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
