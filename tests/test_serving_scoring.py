import asyncio
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from segwright.formats.images import PixelForm, Pixels
from segwright.inference import Model
from segwright.inference.logits import Block
from segwright.serving.accept import AnswerForm
from segwright.serving.scoring import MOST_WAITING, Scorer, _probabilities
from tests.served import CLASSES, picture, pixels

MASK = AnswerForm("image/png", probabilities=False, dtype="uint8")
HEIGHT, WIDTH = 40, 57


class FakeModel:
    """Gives a row of blocks, and calls a function before each of them."""

    class_names = tuple(entry.name for entry in CLASSES)
    form = PixelForm()
    description = SimpleNamespace(classes=CLASSES)

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


def score(scorer: Scorer, model: FakeModel, body: bytes | None = None, form: AnswerForm = MASK) -> bytes:
    return asyncio.run(scorer.score(cast(Model, model), body or picture(), form, never()))


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    threads = torch.get_num_threads()
    made = Scorer(1, 60)
    yield made
    made.close()
    torch.set_num_threads(threads)


def test_blocks_become_a_mask(scorer: Scorer) -> None:
    mask = pixels(score(scorer, FakeModel()))
    assert (mask == np.arange(HEIGHT)[:, None] % 3).all() and mask.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_no_memory_is_an_answer_and_the_next_image_is_computed(scorer: Scorer, error: Exception) -> None:
    def fail(_row: int) -> None:
        raise error

    with pytest.raises(HTTPException, match="send it smaller") as caught:
        score(scorer, FakeModel(fail))
    assert caught.value.status_code == 507 and not scorer.broken
    score(scorer, FakeModel())


def test_no_memory_on_a_cpu_is_known_by_torchs_words(scorer: Scorer) -> None:
    with pytest.raises(HTTPException) as caught:
        score(scorer, FakeModel(lambda _row: [torch.empty(1 << 50)].clear()))
    assert caught.value.status_code == 507


def test_a_device_that_failed_for_good_is_remembered(scorer: Scorer) -> None:
    def fail(_row: int) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(torch.AcceleratorError):
        score(scorer, FakeModel(fail))
    assert scorer.broken


def test_a_fault_of_ours_stays_one(scorer: Scorer) -> None:
    with pytest.raises(ZeroDivisionError):
        score(scorer, FakeModel(lambda row: [1 // (5 - row)].clear()))
    assert not scorer.broken


def test_what_nobody_waits_for_is_not_computed(scorer: Scorer) -> None:
    rows: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def before(row: int) -> None:
        rows.append(row)
        begun.set()
        go_on.wait(10)

    async def hang_up() -> None:
        await asyncio.to_thread(begun.wait, 10)

    async def run() -> None:
        with pytest.raises(ClientDisconnect):
            await scorer.score(cast(Model, FakeModel(before)), picture(), MASK, hang_up())
        go_on.set()

    asyncio.run(run())
    scorer._threads.shutdown(wait=True)
    assert rows == [0], "it stops after the block that was being computed"


def test_time_counts_while_waiting_too() -> None:
    scorer = Scorer(1, 0.2)
    go_on = threading.Event()
    computed: list[int] = []

    def block_the_rest(row: int) -> None:
        go_on.wait(10)

    async def one(model: FakeModel) -> int:
        with pytest.raises(HTTPException, match=r"not ready after 0\.2 s") as caught:
            await scorer.score(cast(Model, model), picture(), MASK, never())
        return caught.value.status_code

    async def run() -> list[int]:
        waiting = [FakeModel(computed.append) for _ in range(3)]
        return await asyncio.gather(one(FakeModel(block_the_rest)), *map(one, waiting))

    assert asyncio.run(run()) == [504] * 4
    go_on.set()
    scorer._threads.shutdown(wait=True)
    assert not computed
    scorer.close()


def test_only_so_many_may_wait(scorer: Scorer) -> None:
    places: list[Any] = []
    with pytest.raises(HTTPException, match="64 requests wait") as caught:
        for _ in range(MOST_WAITING + 10):
            place = scorer.place()
            place.__enter__()
            places.append(place)
    assert caught.value.status_code == 503 and len(places) == MOST_WAITING + 2
    places.pop().__exit__(None, None, None)
    with scorer.place():
        pass


def test_only_workers_compute_at_the_same_time() -> None:
    scorer = Scorer(2, 60)
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
        model = cast(Model, Counting(lambda _row: threading.Event().wait(0.001)))  # type: ignore[arg-type]
        await asyncio.gather(*(scorer.score(model, picture(), MASK, never()) for _ in range(8)))

    asyncio.run(run())
    scorer.close()
    assert most == 2


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rounding_never_moves_the_winner(dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 3, (5, 64, 64), generator=generator) + 1e-4 * torch.rand(5, 64, 64, generator=generator)
    plain = logits.softmax(0).to(torch.float16 if dtype == "float16" else torch.float32)
    if dtype == "float16":
        assert (plain.argmax(0) != logits.argmax(0)).any(), "or else this shows nothing"
    probabilities = _probabilities(logits, np.dtype(dtype))
    assert probabilities.dtype == dtype
    assert (probabilities.argmax(0) == logits.argmax(0).numpy()).all()
    assert np.abs(probabilities.astype(np.float64).sum(0) - 1).max() < (3e-3 if dtype == "float16" else 1e-6)


def test_probabilities_that_no_answer_holds_are_refused_before_they_are_computed(scorer: Scorer) -> None:
    class Many(FakeModel):
        class_names = ("some",) * 254

    stream = picture("JPEG", 800, 800)
    rows: list[int] = []
    with pytest.raises(HTTPException, match=r"650,240,000 bytes of probabilities, but 536,869,887") as caught:
        score(scorer, Many(rows.append), stream, AnswerForm())
    assert caught.value.status_code == 413 and "float16" in caught.value.detail and not rows
