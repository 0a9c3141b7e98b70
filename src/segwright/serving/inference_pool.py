"""The work behind an answer, away from the loop that talks to clients.

Knows threads: a few of them decode, compute and encode, one image each, while the event loop stays free to say that
all is well. How many may compute and wait is bounded; what nobody waits for any more is not computed.
Refuses to know HTTP beyond the status of what is refused.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from torch import Tensor

from segwright.formats.pixels import Pixels
from segwright.inference import Model
from segwright.serving.accept import ResponseFormat
from segwright.serving.content_encoding import Body
from segwright.serving.encoding import encode, excess
from segwright.serving.requests import decode, unknown_mask

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 64
"""Requests that are under way at most beside those in threads; beyond, clients are asked to come again."""


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


class InferencePool:
    """Threads that make answers, shared by all models of a server."""

    def __init__(self, workers: int) -> None:
        """Let `workers` images be computed at the same time."""
        # Twice as many: while one image is computed, another is decoded or encoded.
        self._threads = ThreadPoolExecutor(2 * workers, thread_name_prefix="scoring")
        self._free_threads = asyncio.Semaphore(2 * workers)
        self._computing = threading.BoundedSemaphore(workers)
        self._places = 2 * workers + MOST_WAITING
        self.broken = False
        """Whether the device has failed for good, so that only a new process helps."""

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request, from before its body is read until its answer has been sent. Raises HTTPException
        503 where none is left.
        """
        if not self._places:
            raise HTTPException(503, "Too many requests are under way here: send this one again in a moment.")
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    async def score(
        self,
        loan: AbstractContextManager[Model],
        body: Body,
        form: ResponseFormat,
        gone: Coroutine[Any, Any, None],
        deadline: float,
    ) -> bytes:
        """The answer of a model to one image. The model is given back when no thread uses it any more, which is later
        than the answer where nobody waits for that. `gone` ends when the client hangs up; `deadline` is on the event
        loop's clock.

        Raises HTTPException 400 or 413 for an image that cannot be used, 507 where memory is short, 504 when time is
        up (what the proxy of the older toolkit answers; the newer one kills its worker and answers 500), and
        ClientDisconnect.
        """
        work = asyncio.create_task(self._work(loan, body, form))
        leaving = asyncio.ensure_future(gone)
        try:
            both: set[asyncio.Future[Any]] = {work, leaving}
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(both, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if leaving.done():
                raise ClientDisconnect
            raise HTTPException(
                504,
                "The answer was not ready when time was up: send a smaller image, or raise "
                "SAGEMAKER_MODEL_SERVER_TIMEOUT.",
            )
        finally:
            work.cancel()
            leaving.cancel()

    def close(self) -> None:
        """Take no more work, and drop what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _work(self, loan: AbstractContextManager[Model], body: Body, form: ResponseFormat) -> bytes:
        """Wait for a thread, and for what it does; where cancelled, until it has noticed."""
        ticket = _Ticket()
        with loan as model:
            async with self._free_threads:
                loop = asyncio.get_running_loop()
                done = loop.run_in_executor(self._threads, self._answer, model, body, form, ticket)
                try:
                    await asyncio.wait([done])
                except asyncio.CancelledError:
                    ticket.abandon()
                    await asyncio.wait([done])
                    done.exception()  # nobody is interested, but asyncio wants it to be looked at
                    raise
                return done.result()

    def _answer(self, model: Model, body: Body, form: ResponseFormat, ticket: _Ticket) -> bytes:
        """Decode, compute and encode, in a thread."""
        try:
            return encode(self._result(model, body, form, ticket), form, model.description.classes)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                logger.warning(f"out of memory: {error}")
                raise HTTPException(
                    507,
                    "Memory does not suffice for this image: send it smaller, ask for class numbers instead of "
                    "probabilities, or take a larger machine.",
                ) from None
            self.broken = self.broken or isinstance(error, torch.AcceleratorError)
            raise

    def _result(self, model: Model, body: Body, form: ResponseFormat, ticket: _Ticket) -> NDArray[Any]:
        """Class numbers or probabilities of the image in a body."""
        data = body.decoded()
        try:
            image = decode(data, model.form)
        except HTTPException as error:
            if not form.empty_on_error:
                raise
            logger.warning(f"answered with a mask of 255 everywhere: {error.detail}")
            return unknown_mask(data, model.form)
        with self._computing:
            return _compute(model, image, form, ticket)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, here or on a device, is used up."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's words on a CPU


def _compute(model: Model, image: Pixels, form: ResponseFormat, ticket: _Ticket) -> NDArray[Any]:
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
