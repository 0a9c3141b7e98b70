"""A stream dealt out: one reader a host, and batches for every process on it.

Knows a stream, a shuffle buffer, batches and processes. Nobody but the reader touches the stream, since a FIFO cannot
be read by two; the other processes of the host get their shares through a local socket. On every host the reader sees
the same stream, draws the same order and cuts the same global batches, so that no pair is lost or taken twice.
Refuses to decode anything.

Memory: the shuffle buffer, at most SHUFFLED_PAIRS pairs or SHUFFLED_BYTES, and a few batches on their way to each
process; 8 bytes for each pair of a pass.
"""

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from multiprocessing.connection import Connection
from queue import Empty, Full, Queue
from typing import Final, Protocol

import numpy as np

from segwright.data.pairs import Pair
from segwright.data.pipe_mode import FifoStream
from segwright.data.sampler import SampleIndex, share_of
from segwright.data.stream_identity import PairDigests, pair_digest
from segwright.errors import DataError, UserError

SHUFFLED_PAIRS: Final = 512
SHUFFLED_BYTES: Final = 1 << 28

_BATCHES_AHEAD: Final = 2
_LOOK_UP_EVERY: Final = 0.5  # seconds

Share = list[SampleIndex[Pair]]


@dataclass(frozen=True)
class _End:
    """What follows the last batch of a pass."""

    pairs: int
    """How many pairs the pass held."""
    error: Exception | None = None


class BatchStream(Protocol):
    """Where one process gets its shares of the batches of a stream."""

    pairs_seen: int | None
    """How many pairs the last complete pass held, over all processes."""

    @property
    def seen(self) -> PairDigests | None:
        """The pairs of the last pass, as far as it was read; None before the first, and where others read."""

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Share]:
        """The shares of one pass, without the first `skip`. Raises UserError for a stream that breaks off."""


_Outlets = dict[int, "Queue[Share | _End]"]


@dataclass
class StreamReader:
    """The process of a host that reads the stream."""

    stream: FifoStream
    batch_size: int
    """Pairs in a batch over all processes of all hosts."""
    seed: int = 0
    shuffled: bool = True
    rollover: bool = False
    """Whether pairs that fill no batch begin the next pass, or make a smaller batch."""
    rank: int = 0
    world_size: int = 1
    others: Sequence[tuple[int, Connection]] = ()
    """The other processes of this host: rank and connection."""
    while_waiting: Callable[[], None] = lambda: None
    """Called again and again while nothing comes; what it raises ends the pass."""
    check_pair: Callable[[Pair, int], None] = lambda _pair, _digest: None
    """Called with each pair and its digest before it is dealt; what it raises ends the pass."""
    pairs_seen: int | None = None
    _left: Share = field(default_factory=list)
    _pass: "_ReadPass | None" = None

    @property
    def seen(self) -> PairDigests | None:
        """The pairs of the last pass, as far as it was read; None before the first."""
        return None if self._pass is None else self._pass.digests()

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Share]:
        """The shares of this process of one pass; the others are sent theirs meanwhile."""
        ended = threading.Event()
        outlets: _Outlets = {rank: Queue(_BATCHES_AHEAD) for rank in (self.rank, *(rank for rank, _ in self.others))}
        for rank, connection in self.others:
            threading.Thread(target=_forward, args=(outlets[rank], connection), daemon=True).start()
        threading.Thread(target=self._deal, args=(epoch, skip, outlets, ended), daemon=True).start()
        try:
            yield from _until_end(self, self._taken(outlets[self.rank]))
        except BaseException:  # given up: at the end of a pass the others may still be waiting for their last shares
            ended.set()
            raise

    def _taken(self, outlet: "Queue[Share | _End]") -> Iterator[Share | _End]:
        while True:
            try:
                share = outlet.get(timeout=_LOOK_UP_EVERY)
            except Empty:
                self.while_waiting()
            else:
                yield share

    def _deal(self, epoch: int, skip: int, outlets: "_Outlets", ended: threading.Event) -> None:
        coming = self.stream.pairs()
        self._pass = read = _ReadPass(coming, self.check_pair)
        error: Exception | None = None
        try:
            for batch in islice(self._global_batches(epoch, read), skip, None):
                for rank, outlet in outlets.items():
                    _put(outlet, share_of(batch, rank, self.world_size), ended)
                if ended.is_set():
                    break
            if not read.pairs:
                error = DataError(
                    f"{self.stream.prefix}: a pass over the stream held no pair. Did its writer end early?"
                )
        except Exception as failure:  # it is raised again where the batches are taken
            error = failure
        finally:
            coming.close()
        for outlet in outlets.values():
            _put(outlet, _End(read.pairs, error), ended)

    def _global_batches(self, epoch: int, pairs: Iterable[Pair]) -> Iterator[Share]:
        visits = (SampleIndex(epoch, number, pair) for number, pair in enumerate(pairs))
        ordered = shuffle(visits, np.random.default_rng([self.seed, epoch])) if self.shuffled else visits
        coming = chain(self._left, ordered)
        self._left = []
        while batch := list(islice(coming, self.batch_size)):
            if self.rollover and len(batch) < self.batch_size:
                self._left = batch
            else:
                yield batch


@dataclass
class StreamFollower:
    """A process that gets its shares from the reader of its host."""

    connection: Connection
    pairs_seen: int | None = None

    @property
    def seen(self) -> PairDigests | None:
        """Nothing: the reader of the host knows it."""
        return None

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Share]:
        """The shares of one pass; the reader knows which pass it is and what to skip."""
        try:
            yield from _until_end(self, iter(self.connection.recv, None))
        except (EOFError, OSError) as error:
            raise UserError("the process that reads the stream for this machine has ended; its log says why") from error


def shuffle(visits: Iterable[SampleIndex[Pair]], rng: np.random.Generator) -> Iterator[SampleIndex[Pair]]:
    """Yield all visits in another order: each comes from a buffer of what was read, picked at random."""
    buffer: list[SampleIndex[Pair]] = []
    size = 0
    for visit in visits:
        buffer.append(visit)
        size += _bytes(visit)
        while len(buffer) >= SHUFFLED_PAIRS or size >= SHUFFLED_BYTES:
            picked = _pick(buffer, rng)
            size -= _bytes(picked)
            yield picked
    while buffer:
        yield _pick(buffer, rng)


def _pick(buffer: list[SampleIndex[Pair]], rng: np.random.Generator) -> SampleIndex[Pair]:
    place = int(rng.integers(len(buffer)))
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    return buffer.pop()


def _bytes(visit: SampleIndex[Pair]) -> int:
    return len(visit.pair.image.read()) + len(visit.pair.mask.read())


class _ReadPass:
    """The pairs of one pass while they are read, and their digests."""

    def __init__(self, coming: Iterable[Pair], check_pair: Callable[[Pair, int], None]) -> None:
        self._coming, self._check_pair = coming, check_pair
        self._digests = array("Q")
        self._complete = False

    @property
    def pairs(self) -> int:
        """How many were read."""
        return len(self._digests)

    def digests(self) -> PairDigests:
        """What was read so far; another thread may go on reading."""
        complete = self._complete
        return PairDigests.of(self._digests[:], complete=complete)

    def __iter__(self) -> Iterator[Pair]:
        for pair in self._coming:
            digest = pair_digest(pair)
            self._check_pair(pair, digest)
            self._digests.append(digest)
            yield pair
        self._complete = True


def _put(outlet: "Queue[Share | _End]", share: Share | _End, ended: threading.Event) -> None:
    """Wait for a free place, or until nobody takes anything any more."""
    while not ended.is_set():
        try:
            outlet.put(share, timeout=_LOOK_UP_EVERY)
            return
        except Full:
            continue


def _forward(outlet: "Queue[Share | _End]", connection: Connection) -> None:
    """Send what comes out to another process; one that has gone away has told its reason itself."""
    while True:
        share = outlet.get()
        try:
            connection.send(share)
        except Exception:
            connection.close()
        if isinstance(share, _End):
            return


def _until_end(feed: StreamReader | StreamFollower, coming: Iterator[Share | _End]) -> Iterator[Share]:
    for share in coming:
        if isinstance(share, _End):
            feed.pairs_seen = share.pairs
            if share.error is not None:
                raise share.error
            return
        yield share
