"""Clients that stop in the middle of a request, or never begin one."""

import asyncio
import time

import pytest
import uvicorn
from starlette.responses import Response
from uvicorn.server import ServerState

from segwright.serving import connections
from segwright.serving.connections import Connection, transfer_time

REQUEST = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n"


async def seconds_until_closed(*pieces: bytes, pause: float = 0.0, keep_alive: float = 60) -> float:
    """How long a connection stays open after its last piece; an answer to the whole request comes before."""
    config = uvicorn.Config(Response("done"), ws="none", lifespan="off", timeout_keep_alive=60, log_config=None)
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(config, ServerState(), {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(pause)
    start = time.monotonic()
    async with asyncio.timeout(20):
        await reader.read()
    writer.close()
    server.close()
    return time.monotonic() - start


@pytest.mark.parametrize("pieces", [(REQUEST[:20],), (REQUEST[:20], REQUEST[20:40]), (REQUEST + b"x", REQUEST[:20])])
def test_headers_that_stop_half_way_are_given_up(pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD_TIMEOUT", 0.3)
    assert asyncio.run(seconds_until_closed(*pieces, pause=0.05)) < 10


def test_headers_that_come_in_time_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD_TIMEOUT", 0.3)
    waited = asyncio.run(seconds_until_closed(REQUEST[:20], REQUEST[20:] + b"x", pause=0.02, keep_alive=1.5))
    assert waited > 1, "it stays open for the next request"


def test_a_client_that_says_nothing_is_let_go_as_one_that_says_no_more() -> None:
    assert asyncio.run(seconds_until_closed(keep_alive=0.3)) < 10


def test_time_to_transfer_grows_with_the_size() -> None:
    assert transfer_time(0) == 30 and transfer_time(6 << 20) == pytest.approx(30 + 629, abs=1)
