"""HTTP connections whose clients take their time. Source: `reqtimeout_module` of Apache (RequestReadTimeout)."""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_TIMEOUT: Final = 30.0  # seconds from the first byte of a request to the end of its headers
_PATIENCE: Final = 30.0  # seconds
_LEAST_RATE: Final = 10_000  # bytes a second


def transfer_time(size: int) -> float:
    """Seconds in which a client has to send or receive so many bytes."""
    return _PATIENCE + size / _LEAST_RATE


class Connection(H11Protocol):
    """uvicorn's, which waits for ever for a first request and for the rest of headers, closed in time."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request no longer than for a next one."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Read on, and watch whether headers are complete."""
        super().data_received(data)
        is_partial = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if is_partial and self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT, self.timeout_keep_alive_handler)
        elif not is_partial:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        super().connection_lost(exc)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
