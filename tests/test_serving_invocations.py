"""Answers whose clients do not take them."""

import asyncio
from contextlib import ExitStack

import pytest
from starlette.types import Message

from segwright.console import PACKAGE_LOGGER
from segwright.serving.invocations import SlotResponse

ANSWER = bytes(range(256)) * (10 << 10)  # two and a half MiB


class Client:
    """Takes pieces of an answer, and pauses before one of them."""

    def __init__(self, pause_at: int) -> None:
        self.messages: list[Message] = []
        self.goes_on = asyncio.Event()
        self._pause_at = pause_at

    async def __call__(self, message: Message) -> None:
        if len(self.messages) == self._pause_at:
            await self.goes_on.wait()
        self.messages.append(message)


async def receive() -> Message:
    raise AssertionError("nothing is to be received")


def test_what_an_answer_holds_is_free_when_it_has_been_taken() -> None:
    async def run() -> None:
        held, freed = ExitStack(), asyncio.Event()
        held.callback(freed.set)
        client = Client(pause_at=3)
        response = SlotResponse(ANSWER, held, 60, {"Content-Type": "image/png"})
        sending = asyncio.create_task(response({"type": "http"}, receive, client))
        await asyncio.sleep(0.01)
        assert len(client.messages) == 3 and not freed.is_set()
        client.goes_on.set()
        await sending
        assert freed.is_set()
        start, *pieces = client.messages
        assert (b"content-length", str(len(ANSWER)).encode()) in start["headers"]
        assert b"".join(piece["body"] for piece in pieces) == ANSWER
        assert [piece["more_body"] for piece in pieces] == [True, True, True, False]

    asyncio.run(run())


def test_a_client_has_so_much_time_to_take_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PACKAGE_LOGGER, "propagate", True)

    async def run() -> None:
        held, freed = ExitStack(), asyncio.Event()
        held.callback(freed.set)
        client = Client(pause_at=2)
        await SlotResponse(ANSWER, held, 0.05, {})({"type": "http"}, receive, client)
        assert freed.is_set() and len(client.messages) == 2

    asyncio.run(run())
    assert "an answer of 2,621,440 bytes was not taken within 0.05 s" in caplog.text
