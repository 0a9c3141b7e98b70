import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from segwright.client import read_mask, read_probabilities
from segwright.console import PACKAGE_LOGGER
from segwright.formats.pixels import PixelFormat, Pixels
from segwright.inference import Model
from segwright.inference.logits import Block
from segwright.serving import ServingSettings
from segwright.serving.accept import NPY, RECORDIO, RECORDIO_SHORT, ResponseFormat
from segwright.serving.inference_pool import MAX_WAITING, InferencePool
from segwright.serving.request_log import RequestRecord
from segwright.serving.requests import Body
from tests.helpers.served import CLASSES, picture, pixels

MASK = ResponseFormat("image/png", probabilities=False, dtype="uint8")
HEIGHT, WIDTH = 40, 57


class FakeModel:
    """Gives a row of blocks, and calls a function before each of them."""

    class_names = tuple(entry.name for entry in CLASSES)
    pixel_format = PixelFormat()
    description = SimpleNamespace(classes=CLASSES)
    temperature = 2.0

    def __init__(self, before: Callable[[int], None] = lambda _row: None) -> None:
        self.before = before

    def blocks(self, image: Pixels) -> Iterator[Block]:
        for row in range(len(image)):
            self.before(row)
            logits = torch.zeros(len(CLASSES), 1, image.shape[1])
            logits[row % 3] = 1
            yield Block(slice(row, row + 1), slice(0, image.shape[1]), logits)


async def never() -> None:
    await asyncio.Event().wait()


async def ask(
    pool: InferencePool,
    model: FakeModel | AbstractContextManager[Any],
    body: bytes | None = None,
    form: ResponseFormat = MASK,
    disconnected: Coroutine[Any, Any, None] | None = None,
    seconds: float = 60,
) -> bytes:
    lease = nullcontext(cast(Model, model)) if isinstance(model, FakeModel) else model
    deadline = asyncio.get_running_loop().time() + seconds
    record = RequestRecord("id", "POST", "/invocations")
    return await pool.infer(
        lease, Body(picture() if body is None else body), form, disconnected or never(), deadline, record
    )


def infer(pool: InferencePool, model: FakeModel, body: bytes | None = None, form: ResponseFormat = MASK) -> bytes:
    return asyncio.run(ask(pool, model, body, form))


class Leases:
    """Counts the models that are borrowed."""

    def __init__(self) -> None:
        self.out = 0

    @contextmanager
    def __call__(self, model: FakeModel) -> Iterator[FakeModel]:
        self.out += 1
        try:
            yield model
        finally:
            self.out -= 1

    async def all_back(self) -> None:
        async with asyncio.timeout(60):
            while self.out:
                await asyncio.sleep(0.005)


@pytest.fixture
def pool() -> Iterator[InferencePool]:
    made = InferencePool(ServingSettings())
    yield made
    made.close()


def test_blocks_become_a_mask(pool: InferencePool) -> None:
    mask = pixels(infer(pool, FakeModel()))
    assert (mask == np.arange(HEIGHT)[:, None] % 3).all() and mask.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_no_memory_is_an_answer_and_the_next_image_is_computed(pool: InferencePool, error: Exception) -> None:
    def fail(_row: int) -> None:
        raise error

    with pytest.raises(HTTPException, match="send it smaller") as caught:
        infer(pool, FakeModel(fail))
    assert caught.value.status_code == 507 and not pool.broken
    infer(pool, FakeModel())


def test_no_memory_on_a_cpu_is_known_by_torchs_words(pool: InferencePool) -> None:
    with pytest.raises(HTTPException) as caught:
        infer(pool, FakeModel(lambda _row: [torch.empty(1 << 50)].clear()))
    assert caught.value.status_code == 507


def test_a_device_that_failed_for_good_is_remembered(pool: InferencePool) -> None:
    def fail(_row: int) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(torch.AcceleratorError):
        infer(pool, FakeModel(fail))
    assert pool.broken


def test_a_fault_of_ours_stays_one(pool: InferencePool) -> None:
    with pytest.raises(ZeroDivisionError):
        infer(pool, FakeModel(lambda row: [1 // (5 - row)].clear()))
    assert not pool.broken


def test_what_would_end_a_thread_does_not_end_the_server(pool: InferencePool) -> None:
    def leave(_row: int) -> None:
        raise SystemExit

    with pytest.raises(RuntimeError, match="SystemExit"):
        infer(pool, FakeModel(leave))
    infer(pool, FakeModel())
    assert not pool.broken and not pool.busy_threads


def test_what_nobody_waits_for_is_not_computed_and_its_model_stays_until_then(pool: InferencePool) -> None:
    rows: list[int] = []
    begun, go_on = threading.Event(), threading.Event()
    leases = Leases()

    def before(row: int) -> None:
        rows.append(row)
        begun.set()
        go_on.wait(60)

    async def hang_up() -> None:
        await asyncio.to_thread(begun.wait, 60)

    async def run() -> None:
        with pytest.raises(ClientDisconnect):
            await ask(pool, leases(FakeModel(before)), disconnected=hang_up())
        await asyncio.sleep(0.01)
        assert leases.out == 1, "a thread computes with it"
        go_on.set()
        await leases.all_back()

    asyncio.run(run())
    assert rows == [0], "it stops after the block that was being computed"


def test_time_counts_while_waiting_too(pool: InferencePool) -> None:
    begun, go_on = threading.Event(), threading.Event()
    computed: list[int] = []
    leases = Leases()

    def block_the_rest(row: int) -> None:
        begun.set()
        go_on.wait(60)

    async def one(model: FakeModel) -> int:
        with pytest.raises(HTTPException, match="not ready when time was up") as caught:
            await ask(pool, leases(model), seconds=0.2)
        return caught.value.status_code

    async def run() -> list[int]:
        first = asyncio.create_task(ask(pool, FakeModel(block_the_rest)))
        await asyncio.to_thread(begun.wait, 60)
        statuses = await asyncio.gather(*(one(FakeModel(computed.append)) for _ in range(3)))
        await asyncio.sleep(0.01)
        assert leases.out == 1, "what waited for a thread is dropped at once"
        go_on.set()
        await leases.all_back()
        await first
        return statuses

    assert asyncio.run(run()) == [504] * 3
    assert not computed


@pytest.mark.parametrize("body", [b"", b"poison", picture("JPEG")[:-200], picture()[:200]])
def test_a_job_may_ask_for_a_mask_in_place_of_a_refusal(
    pool: InferencePool, body: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HTTPException):
        infer(pool, FakeModel(), body)
    monkeypatch.setattr(PACKAGE_LOGGER, "propagate", True)
    mask = pixels(infer(pool, FakeModel(), body, replace(MASK, empty_on_error=True)))
    assert (mask == 255).all() and mask.shape == ((HEIGHT, WIDTH) if len(body) > 10 else (1, 1))
    assert "answered with a mask of 255 everywhere: The " in caplog.text
    assert (pixels(infer(pool, FakeModel(), form=replace(MASK, empty_on_error=True))) < 3).all()


def test_only_so_many_may_wait(pool: InferencePool) -> None:
    slots: list[Any] = []
    with pytest.raises(HTTPException, match="Too many requests") as caught:
        for _ in range(MAX_WAITING + 10):
            slot = pool.admit()
            slot.__enter__()
            slots.append(slot)
    assert caught.value.status_code == 503 and len(slots) == MAX_WAITING + 2
    assert caught.value.headers == {"Retry-After": "1"}
    slots.pop().__exit__(None, None, None)
    with pool.admit():
        pass


def test_only_workers_compute_at_the_same_time() -> None:
    pool = InferencePool(ServingSettings(workers=2))
    lock = threading.Lock()
    now = most = 0

    class Counting(FakeModel):
        def blocks(self, image: Pixels) -> Iterator[Block]:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            yield from super().blocks(image)
            with lock:
                now -= 1

    async def run() -> None:
        model = Counting(lambda _row: threading.Event().wait(0.001))  # type: ignore[arg-type]
        await asyncio.gather(*(ask(pool, model) for _ in range(8)))

    asyncio.run(run())
    pool.close()
    assert most == 2


def test_probabilities_that_no_answer_holds_are_refused_before_they_are_computed(pool: InferencePool) -> None:
    class Many(FakeModel):
        class_names = ("some",) * 254

    stream = picture("JPEG", 800, 800)
    rows: list[int] = []
    with pytest.raises(HTTPException, match=r"650,240,000 bytes of probabilities, but 536,869,887") as caught:
        infer(pool, Many(rows.append), stream, ResponseFormat())
    assert caught.value.status_code == 413 and "float16" in caught.value.detail and not rows


@pytest.mark.parametrize(("content_type", "divisor"), [(NPY, 2), (RECORDIO, 1), (RECORDIO_SHORT, 1)])
def test_probabilities_are_scaled_but_those_in_recordio(pool: InferencePool, content_type: str, divisor: float) -> None:
    body = infer(pool, FakeModel(), form=ResponseFormat(content_type))
    highest = 1 / (1 + 2 * math.exp(-1 / divisor))
    assert np.allclose(read_probabilities(body, content_type).max(0), highest)


def test_pixels_below_the_wanted_probability_become_255(pool: InferencePool) -> None:
    highest = 1 / (1 + 2 * math.exp(-0.5))  # 0.45
    assert (pixels(infer(pool, FakeModel(), form=replace(MASK, unsure=highest + 0.01))) == 255).all()
    assert (pixels(infer(pool, FakeModel(), form=replace(MASK, unsure=highest - 0.01))) < 3).all()
    for content_type in ("application/json", "application/x-npy"):
        form = ResponseFormat(content_type, probabilities=False, dtype="uint8", unsure=0.5)
        assert (read_mask(infer(pool, FakeModel(), form=form), content_type) == 255).all()
