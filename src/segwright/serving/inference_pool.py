"""Inference in a bounded number of threads beside the event loop; cancelled when its client is gone."""

import asyncio
import logging
import math
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

from segwright.formats.pixels import Pixels
from segwright.inference import Block, Model, assemble
from segwright.resources import trim_freed_memory
from segwright.serving.accept import NPY, ResponseFormat
from segwright.serving.encoding import check_result_size, encode
from segwright.serving.request_log import RequestRecord
from segwright.serving.requests import Body, decode, ignore_mask
from segwright.serving.settings import ServingSettings

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 64  # requests in flight beside those in threads; beyond, clients are asked to retry
_TRIM_EVERY: Final = 8
"""Images after which glibc returns what it keeps: computing is faster with it, but changing sizes fragment it."""


class _CancelledError(Exception):
    """The client is gone, or its time is up."""


class _CancelToken(threading.Event):
    def check(self) -> None:
        if self.is_set():
            raise _CancelledError


class InferencePool:
    """Threads that decode, compute and encode, shared by all models of a server."""

    def __init__(self, settings: ServingSettings) -> None:
        """Let `settings.workers` images be computed at the same time, and as many be decoded or encoded meanwhile."""
        self.settings, workers = settings, settings.workers
        self._threads = ThreadPoolExecutor(2 * workers, thread_name_prefix="inference")
        self._free_threads = asyncio.Semaphore(2 * workers)
        self._computing = threading.BoundedSemaphore(workers)
        self._slots = 2 * workers + MAX_WAITING
        self.in_flight = 0  # requests that hold a slot
        self.busy_threads = 0  # threads at work
        self._begun, self._count = 0, threading.Lock()
        self._pace = 0.0  # seconds that the last image took
        self.broken = False  # whether the device has failed for good, so that only a new process helps

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a slot, from before a request's body is read until its response is sent. HTTPException 503 without."""
        if self.in_flight == self._slots:
            soon = {"Retry-After": str(math.ceil(max(self._pace / self.settings.workers, 1)))}
            raise HTTPException(503, "Too many requests in flight; retry shortly.", soon)
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def infer(
        self,
        lease: AbstractContextManager[Model],
        body: Body,
        wanted: ResponseFormat,
        disconnected: Coroutine[Any, Any, None],
        deadline: float,
        record: RequestRecord,
    ) -> bytes:
        """A model's response to one image; the lease ends when no thread uses the model, which may be later. `record`
        receives the image's size and the seconds of the stages decode, network and encode, without waiting for others.

        Raises HTTPException 400 or 413 for an image that cannot be used, 507 where memory is short, 504 at the deadline
        on the event loop's clock, and ClientDisconnect when `disconnected` ends.
        """
        work = asyncio.create_task(self._run(lease, body, wanted, record))
        leaving = asyncio.ensure_future(disconnected)
        try:
            both: set[asyncio.Future[Any]] = {work, leaving}
            seconds = max(deadline - asyncio.get_running_loop().time(), 0)
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if leaving.done():
                raise ClientDisconnect
            cure = "send a smaller image, or raise SAGEMAKER_MODEL_SERVER_TIMEOUT."
            raise HTTPException(504, f"The answer was not ready when time was up: {cure}")
        finally:
            work.cancel()
            leaving.cancel()

    def close(self) -> None:
        """Accept no more work, and drop what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(
        self, lease: AbstractContextManager[Model], body: Body, wanted: ResponseFormat, record: RequestRecord
    ) -> bytes:
        """Wait for a thread and its result; where cancelled, until the thread has noticed."""
        cancelled = _CancelToken()
        with lease as model:
            async with self._free_threads:
                loop = asyncio.get_running_loop()
                done = loop.run_in_executor(self._threads, self._respond, model, body, wanted, cancelled, record)
                try:
                    await asyncio.wait([done])
                except asyncio.CancelledError:
                    cancelled.set()
                    await asyncio.wait([done])
                    done.exception()  # or asyncio reports that it was never retrieved
                    raise
                return done.result()

    def _respond(
        self, model: Model, body: Body, wanted: ResponseFormat, cancelled: _CancelToken, record: RequestRecord
    ) -> bytes:
        with self._count:
            self.busy_threads += 1
            self._begun += 1
            trims = self._begun % _TRIM_EVERY == 0
        try:
            return self._answer(model, body, wanted, cancelled, record)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                logger.warning(f"out of memory: {error}")
                raise HTTPException(
                    507,
                    "Memory does not suffice for this image: send it smaller, ask for class numbers instead of "
                    "probabilities, or use a larger machine.",
                ) from None
            self.broken = self.broken or isinstance(error, torch.AcceleratorError)
            raise
        except Exception:
            raise
        except BaseException as error:  # it would end the event loop, and the server
            raise RuntimeError(f"a thread was told to end: {error!r}") from error
        finally:
            if trims:
                trim_freed_memory()
            with self._count:
                self.busy_threads -= 1

    def _answer(
        self, model: Model, body: Body, wanted: ResponseFormat, cancelled: _CancelToken, record: RequestRecord
    ) -> bytes:
        stage = record.times.stage
        with stage("decode"):
            data = body.decoded()
            try:
                image = decode(data, model.pixel_format, self.settings.max_pixels)
            except HTTPException as error:
                if not wanted.empty_on_error:
                    raise
                logger.warning(f"answered with a mask of 255 everywhere: {error.detail}")
                image = None
        if image is None:
            result = ignore_mask(data, model.pixel_format, self.settings.max_pixels)
        else:
            record.size = image.shape[:2]
            with self._computing, stage("network"):
                result = _compute(model, image, wanted, cancelled)
            self._pace = record.times.seconds["network"]
        with stage("encode"):
            return encode(result, wanted, model.description.classes)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, on the host or a device, is used up."""
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return on_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError)


def _compute(model: Model, image: Pixels, wanted: ResponseFormat, cancelled: _CancelToken) -> NDArray[Any]:
    """Class numbers, uint8 [H, W], or with their confidence, uint8 [2, H, W]; or probabilities, float [C, H, W]."""
    size = image.shape[:2]
    shape = (len(model.class_names), *size) if wanted.probabilities else (2, *size) if wanted.confidence else size
    check_result_size(wanted, shape)
    result = np.empty(shape, wanted.dtype)
    blocks = _until_cancelled(model.blocks(image), cancelled)
    if wanted.probabilities:
        # Those in RecordIO are as the original's.
        assemble(blocks, probabilities=result, temperature=model.temperature if wanted.content_type == NPY else 1.0)
    elif wanted.confidence:
        assemble(blocks, result[0], confidence=result[1], temperature=model.temperature, unsure=wanted.unsure)
    else:
        assemble(blocks, result, temperature=model.temperature, unsure=wanted.unsure)
    return result


def _until_cancelled(blocks: Iterator[Block], cancelled: _CancelToken) -> Iterator[Block]:
    cancelled.check()
    for block in blocks:
        cancelled.check()
        yield block
