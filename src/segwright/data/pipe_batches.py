"""A stream as batches: one reader for each host, and a share of every batch for each process on it.

Only the reader touches the stream, since a FIFO cannot be read by two; the other processes of the host get their shares
through a local socket. On every host the reader sees the same stream, draws the same order and cuts the same global
batches, so that no pair is lost or taken twice.

Memory: the shuffle buffer, at most SHUFFLED_PAIRS pairs or SHUFFLED_BYTES, and a few batches on their way to each
process; 8 bytes for each pair of a pass.
"""

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from multiprocessing.connection import Connection
from queue import Empty, Full, Queue
from typing import Final, NamedTuple

import numpy as np

from segwright.data.pairs import Pair
from segwright.data.pipe_mode import FifoStream
from segwright.data.sampler import SampleIndex, share_of
from segwright.data.stream_identity import PairDigests, pair_digest
from segwright.errors import DataError, UserError

SHUFFLED_PAIRS: Final = 512
SHUFFLED_BYTES: Final = 1 << 28

_BATCHES_AHEAD: Final = 2
_POLL_SECONDS: Final = 0.5

Share = list[SampleIndex[Pair]]


class _End(NamedTuple):
    pairs: int  # how many pairs the pass held
    error: Exception | None = None


@dataclass
class _Pass:
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    complete: bool = False
    given_up: threading.Event = field(default_factory=threading.Event)


@dataclass
class StreamReader:
    """The process of a host that reads the stream."""

    stream: FifoStream
    batch_size: int  # pairs in a batch over all processes of all hosts
    seed: int = 0
    shuffled: bool = True
    rollover: bool = False  # whether pairs that fill no batch begin the next pass, or make a smaller batch
    rank: int = 0
    world_size: int = 1
    others: Sequence[tuple[int, Connection]] = ()  # the other processes of this host: rank and connection
    while_waiting: Callable[[], None] = lambda: None
    """Called again and again while nothing comes; what it raises ends the pass."""
    check_pair: Callable[[Pair, int], None] = lambda _pair, _digest: None
    """Called with each pair and its digest before it is dealt; what it raises ends the pass."""
    pairs_seen: int | None = None  # in the last complete pass, over all processes
    _left: Share = field(default_factory=list)  # samples that filled no batch of the last pass
    _pass: "_Pass | None" = None

    @property
    def seen(self) -> PairDigests | None:
        """The pairs of the last pass, as far as it was read; None before the first."""
        if self._pass is None:
            return None
        complete = self._pass.complete  # before the digests: another thread may go on reading
        return PairDigests.of(self._pass.digests[:], complete=complete)

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Share]:
        """The shares of this process of one pass, without the first `skip`; the others are sent theirs meanwhile.

        Raises UserError for a stream that breaks off.
        """
        self._pass = _Pass()
        outlets = {rank: Queue[Share | _End](_BATCHES_AHEAD) for rank, _ in ((self.rank, None), *self.others)}
        for rank, connection in self.others:
            threading.Thread(target=_forward, args=(outlets[rank], connection), daemon=True).start()
        threading.Thread(target=self._deal, args=(epoch, skip, self._pass, outlets), daemon=True).start()
        try:
            yield from _until_end(self, iter(partial(self._take, outlets[self.rank]), None))
        except BaseException:  # given up: at the end of a pass the others may still be waiting for their last shares
            self._pass.given_up.set()
            raise

    def _take(self, outlet: "Queue[Share | _End]") -> Share | _End:
        while True:
            try:
                return outlet.get(timeout=_POLL_SECONDS)
            except Empty:
                self.while_waiting()

    def _deal(self, epoch: int, skip: int, one: "_Pass", outlets: dict[int, "Queue[Share | _End]"]) -> None:
        """Put the shares of a pass where each process takes them."""
        coming = self.stream.pairs()
        error: Exception | None = None
        try:
            for batch in islice(self._global_batches(epoch, self._checked(coming, one)), skip, None):
                for rank, outlet in outlets.items():
                    _put(outlet, share_of(batch, rank, self.world_size), one.given_up)
                if one.given_up.is_set():
                    break
            if not one.digests:
                error = DataError(
                    f"{self.stream.prefix}: a pass over the stream held no pair. Did its writer end early?"
                )
        except Exception as failure:  # it is raised again where the batches are taken
            error = failure
        finally:
            coming.close()
        for outlet in outlets.values():
            _put(outlet, _End(len(one.digests), error), one.given_up)

    def _checked(self, coming: Iterable[Pair], one: "_Pass") -> Iterator[Pair]:
        for pair in coming:
            digest = pair_digest(pair)
            self.check_pair(pair, digest)
            one.digests.append(digest)
            yield pair
        one.complete = True

    def _global_batches(self, epoch: int, pairs: Iterable[Pair]) -> Iterator[Share]:
        samples = (SampleIndex(epoch, number, pair) for number, pair in enumerate(pairs))
        ordered = shuffle(samples, np.random.default_rng([self.seed, epoch])) if self.shuffled else samples
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
    seen: None = None  # the reader of the host knows the pairs

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Share]:
        """The shares of one pass; the reader knows which pass it is and what to skip."""
        try:
            yield from _until_end(self, iter(self.connection.recv, None))
        except (EOFError, OSError) as error:
            raise UserError("the process that reads the stream for this machine has ended; its log says why") from error


BatchStream = StreamReader | StreamFollower
"""Where one process gets its shares of the batches of a stream."""


def shuffle(samples: Iterable[SampleIndex[Pair]], rng: np.random.Generator) -> Iterator[SampleIndex[Pair]]:
    """Yield all samples in another order: each is picked at random from a buffer of what was read."""
    buffer: Share = []
    size = 0
    for sample in chain(samples, [None]):
        if sample is not None:
            buffer.append(sample)
            size += _bytes(sample)
        while buffer and (sample is None or len(buffer) >= SHUFFLED_PAIRS or size >= SHUFFLED_BYTES):
            index = int(rng.integers(len(buffer)))
            buffer[index], buffer[-1] = buffer[-1], buffer[index]
            size -= _bytes(buffer[-1])
            yield buffer.pop()


def _bytes(sample: SampleIndex[Pair]) -> int:
    return len(sample.pair.image.read()) + len(sample.pair.mask.read())


def _put(outlet: "Queue[Share | _End]", share: Share | _End, given_up: threading.Event) -> None:
    """Wait for a free slot, or until nothing is taken any more."""
    while not given_up.is_set():
        try:
            outlet.put(share, timeout=_POLL_SECONDS)
            return
        except Full:
            continue


def _forward(outlet: "Queue[Share | _End]", connection: Connection) -> None:
    """Send what comes out to another process; one that has gone away has logged its reason itself."""
    while True:
        share = outlet.get()
        try:
            connection.send(share)
        except Exception:
            connection.close()
        if isinstance(share, _End):
            return


def _until_end(stream: BatchStream, coming: Iterator[Share | _End]) -> Iterator[Share]:
    for share in coming:
        if isinstance(share, _End):
            stream.pairs_seen = share.pairs
            if share.error is not None:
                raise share.error
            return
        yield share
