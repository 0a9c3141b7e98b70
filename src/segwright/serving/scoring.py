"""The work behind an answer, away from the loop that talks to clients.

Knows threads: a few of them decode, compute and encode, one image each, while the event loop stays free to say that
all is well. How many may compute, wait, and for how long, is bounded; what nobody waits for any more is not computed.
Refuses to know HTTP beyond the status of what is refused.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from torch import Tensor

from segwright.console import LOGGER
from segwright.formats.images import Pixels
from segwright.inference import Model
from segwright.serving.accept import AnswerForm
from segwright.serving.answers import encode, excess
from segwright.serving.machine import available_cores
from segwright.serving.requests import decode

MOST_WAITING: Final = 64
"""Requests that wait for a thread at most; beyond, clients are asked to come again."""


class _AbandonedError(Exception):
    """Nobody waits for the answer any more."""


class _Ticket:
    """Whether somebody still waits for an answer, as threads ask."""

    def __init__(self) -> None:
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        self._abandoned.set()

    def check(self) -> None:
        if self._abandoned.is_set():
            raise _AbandonedError


class Scorer:
    """Threads that make answers, shared by all models of a server."""

    def __init__(self, workers: int, timeout: float) -> None:
        """Let `workers` images be computed at the same time, and each request take `timeout` seconds."""
        self._timeout = timeout
        # Twice as many: while one image is computed, another is decoded or encoded.
        self._threads = ThreadPoolExecutor(2 * workers, thread_name_prefix="scoring")
        self._computing = threading.BoundedSemaphore(workers)
        self._places = 2 * workers + MOST_WAITING
        self.broken = False
        """Whether the device has failed for good, so that only a new process helps."""
        torch.set_num_threads(max(min(torch.get_num_threads(), available_cores()) // workers, 1))

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request, from before its body is read. Raises HTTPException 503 where none is left."""
        if not self._places:
            raise HTTPException(503, f"Already {MOST_WAITING} requests wait here: send this one again in a moment.")
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    async def score(self, model: Model, body: bytes, form: AnswerForm, gone: Coroutine[Any, Any, None]) -> bytes:
        """The answer to one image. `gone` ends when the client hangs up.

        Raises HTTPException 400 or 413 for an image that cannot be used, 507 where memory is short, 504 when time is
        up (what the proxy of the older toolkit answers; the newer one kills its worker and answers 500), and
        ClientDisconnect.
        """
        ticket = _Ticket()
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._answer, model, body, form, ticket)
        leaving = asyncio.ensure_future(gone)
        try:
            both: set[asyncio.Future[Any]] = {work, leaving}
            await asyncio.wait(both, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if leaving.done():
                raise ClientDisconnect
            raise HTTPException(
                504,
                f"The answer was not ready after {self._timeout:g} s: send a smaller image, or raise "
                "SAGEMAKER_MODEL_SERVER_TIMEOUT.",
            )
        finally:
            ticket.abandon()
            work.cancel()
            leaving.cancel()

    def close(self) -> None:
        """Take no more work, and drop what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self, model: Model, body: bytes, form: AnswerForm, ticket: _Ticket) -> bytes:
        """Decode, compute and encode, in a thread."""
        try:
            image = decode(body, model.form)
            with self._computing:
                result = _compute(model, image, form, ticket)
            return encode(result, form, model.description.classes)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                LOGGER.warning(f"out of memory: {error}")
                raise HTTPException(
                    507,
                    "Memory does not suffice for this image: send it smaller, ask for class numbers instead of "
                    "probabilities, or take a larger machine.",
                ) from None
            self.broken = self.broken or isinstance(error, torch.AcceleratorError)
            raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, here or on a device, is used up."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's words on a CPU


def _compute(model: Model, image: Pixels, form: AnswerForm, ticket: _Ticket) -> NDArray[Any]:
    """Class numbers, uint8 [H, W], or probabilities, float [C, H, W]; looks up between blocks."""
    size = image.shape[:2]
    shape = (len(model.class_names), *size) if form.probabilities else size
    if (too_large := excess(form, shape)) is not None:
        raise HTTPException(
            413,
            "The answer would have {:,} bytes of probabilities, but {:,} are sent at most: ask for image/png, "
            "application/json, or application/x-npy;output=probabilities;dtype=float16.".format(*too_large),
        )
    result = np.empty(shape, form.dtype)
    ticket.check()
    for block in model.blocks(image):
        ticket.check()
        result[..., block.rows, block.columns] = (
            _probabilities(block.logits, result.dtype)
            if form.probabilities
            else block.logits.argmax(0).to(torch.uint8).cpu().numpy()
        )
    return result


def _probabilities(logits: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The softmax of logits [C, H, W] in a number format, with the same argmax as they have.

    Rounding makes neighbours equal now and then, above all in float16. There the winner gets the next larger number.
    """
    winners = logits.argmax(0)
    rounded = logits.softmax(0).to(torch.float16 if dtype == np.float16 else torch.float32)
    rows, columns = (rounded.argmax(0) != winners).nonzero(as_tuple=True)
    probabilities: NDArray[Any] = rounded.cpu().numpy()
    if len(rows):
        winner, row, column = (index.cpu().numpy() for index in (winners[rows, columns], rows, columns))
        highest = probabilities[:, row, column].max(axis=0)
        probabilities[winner, row, column] = np.nextafter(highest, dtype.type(2))
    return probabilities
