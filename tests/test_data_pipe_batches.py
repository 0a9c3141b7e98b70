import threading
from collections.abc import Generator, Iterator
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.data import pipe_batches as feeding
from segwright.data.pairs import Pair
from segwright.data.pipe_batches import BatchStream, StreamFollower, StreamReader, shuffle
from segwright.data.pipe_mode import FifoStream
from segwright.data.sampler import SampleIndex
from segwright.errors import DataError, UserError
from segwright.storage import BytesBlob


def pair(number: int, size: int = 1) -> Pair:
    return Pair(str(number), BytesBlob(f"image {number}", bytes(size)), BytesBlob(f"mask {number}", b""))


class Numbers(FifoStream):
    """A stream of so many pairs a pass; it breaks off after `whole` of them."""

    def __init__(self, *counts: int, whole: int = 10**9) -> None:
        super().__init__(Path("nowhere"))
        self.counts, self.whole = list(counts), whole

    def pairs(self) -> Generator[Pair]:
        for number in range(self.counts.pop(0)):
            if number == self.whole:
                raise DataError("the stream broke off")
            yield pair(number)


def hosts(
    stream_counts: list[int], world: int, per_host: int, batch: int, rollover: bool, whole: int
) -> list[BatchStream]:
    """The feeds of all processes of some hosts, each of which sees the same stream."""
    feeds: list[BatchStream] = []
    for first in range(0, world, per_host):
        links = [(rank, Pipe(duplex=False)) for rank in range(first + 1, min(first + per_host, world))]
        feeds.append(
            StreamReader(
                Numbers(*stream_counts, whole=whole),
                batch_size=batch,
                seed=3,
                rollover=rollover,
                rank=first,
                world_size=world,
                others=[(rank, sender) for rank, (_, sender) in links],
            )
        )
        feeds += [StreamFollower(receiver) for _, (receiver, _) in links]
    return feeds


def dealt(feeds: list[BatchStream], epoch: int, skip: int = 0) -> list[list[list[SampleIndex[Pair]]]]:
    """What each process got, batch by batch."""
    got: list[list[list[SampleIndex[Pair]]]] = [[] for _ in feeds]

    def take(place: int) -> None:
        got[place] += feeds[place].batches(epoch, skip)

    threads = [threading.Thread(target=take, args=(place,)) for place in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    return got


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 5), st.integers(1, 3), st.booleans())
def test_each_pass_gives_each_pair_to_one_process(
    count: int, batch: int, world: int, per_host: int, rollover: bool
) -> None:
    feeds = hosts([count, count], world, per_host, batch, rollover, whole=10**9)
    visited: list[tuple[int, int]] = []
    for epoch in range(2):
        got = dealt(feeds, epoch)
        assert len({len(batches) for batches in got}) == 1, "all processes take every step together"
        assert all(feed.pairs_seen == count for feed in feeds)
        visited += [(v.epoch, v.number) for batches in got for share in batches for v in share if v.counted]
        sizes = [sum(v.counted for batches in got for v in batches[step]) for step in range(len(got[0]))]
        assert all(size == batch for size in (sizes if rollover else sizes[:-1]))
    assert len(set(visited)) == len(visited)
    expected = 2 * count // batch * batch if rollover else 2 * count
    assert len(visited) == expected


def test_batches_do_not_depend_on_processes_and_differ_by_epoch() -> None:
    def batches(world: int, epoch: int) -> list[set[int]]:
        got = dealt(hosts([20], world, world, 6, False, whole=10**9), epoch)
        return [{v.number for share in step for v in share if v.counted} for step in zip(*got, strict=True)]

    assert batches(1, 0) == batches(3, 0)
    assert batches(1, 0) != batches(1, 1)


def test_the_rest_of_a_pass_is_the_rest_of_it() -> None:
    whole = dealt(hosts([20], 2, 2, 6, False, whole=10**9), 0)
    rest = dealt(hosts([20], 2, 2, 6, False, whole=10**9), 0, skip=2)
    assert rest == [batches[2:] for batches in whole]


def test_a_stream_that_breaks_off_ends_all_processes() -> None:
    feeds = hosts([20], 2, 2, 4, False, whole=9)
    failures: list[str] = []

    def take(feed: BatchStream) -> None:
        try:
            list(feed.batches(0))
        except DataError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=take, args=(feed,)) for feed in feeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == ["the stream broke off"] * 2


def test_a_pass_without_pairs_is_refused() -> None:
    with pytest.raises(DataError, match="held no pair"):
        list(StreamReader(Numbers(0), batch_size=2).batches(0))


def test_a_person_may_stop_while_nothing_comes() -> None:
    class Silent(FifoStream):
        def pairs(self) -> Generator[Pair]:
            threading.Event().wait(20)
            yield pair(0)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(StreamReader(Silent(Path("nowhere")), batch_size=2, while_waiting=stop).batches(0))


def test_a_pass_that_is_given_up_closes_the_stream() -> None:
    closed = threading.Event()

    class Watched(Numbers):
        def pairs(self) -> Generator[Pair]:
            try:
                yield from super().pairs()
            finally:
                closed.set()

    coming = StreamReader(Watched(10_000), batch_size=1, shuffled=False).batches(0)
    next(coming)
    coming.close()  # type: ignore[attr-defined]
    assert closed.wait(10)


def test_a_reader_that_went_away_is_named() -> None:
    receiver, sender = Pipe(duplex=False)
    sender.close()
    with pytest.raises(UserError, match="has ended"):
        list(StreamFollower(receiver).batches(0))


def test_the_shuffle_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "SHUFFLED_BYTES", 50)
    taken = 0

    def visits() -> Iterator[SampleIndex[Pair]]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield SampleIndex(0, number, pair(number, size=10))

    given = []
    for visit in shuffle(visits(), np.random.default_rng(0)):
        given.append(visit.number)
        assert taken - len(given) < 5
    assert sorted(given) == list(range(100)) and given != sorted(given)
