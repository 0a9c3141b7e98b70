"""The streams of a training: who reads them on each machine, and how the other processes get their shares.

Knows processes and sockets. Refuses to know what passes through.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from segwright.checks.prepare import Streams
from segwright.data.channels import SPLITS, Channels, Split
from segwright.data.pipe_batches import BatchStream, StreamFollower, StreamReader
from segwright.hyperparameters import Hyperparameters
from segwright.training.distributed import Distributed
from segwright.training.streams import StreamIdentity

Feeds = dict[Split, BatchStream]


def open_streams(channels: Channels, processes: Distributed) -> Streams:
    """The streams of the channels, in the one process of each machine that may read them; nothing is read yet."""
    if processes.local_rank:
        return {}
    streams = {split: channels.stream(split) for split in SPLITS}
    return {split: stream for split, stream in streams.items() if stream is not None}


@contextmanager
def open_feeds(
    channels: Channels,
    streams: Streams,
    settings: Hyperparameters,
    processes: Distributed,
    known: Mapping[Split, StreamIdentity],
    while_waiting: Callable[[], None],
) -> Iterator[Feeds]:
    """Connect the processes of each machine with the one that reads its streams; nothing in mode `File`.

    Each pair is compared with what is `known` of its stream. `while_waiting` is called while a stream is silent, in a
    training of one process: several stop only together.
    """
    if channels.input_mode == "File":
        yield {}
    elif processes.world_size == 1:
        yield {
            split: replace(_feed(split, streams, settings, processes, known), while_waiting=while_waiting)
            for split in SPLITS
        }
    else:
        with tempfile.TemporaryDirectory(prefix="segwright-") as folder, ExitStack() as opened:
            yield _connected(Path(folder), streams, settings, processes, known, opened)


def _connected(
    folder: Path,
    streams: Streams,
    settings: Hyperparameters,
    processes: Distributed,
    known: Mapping[Split, StreamIdentity],
    opened: ExitStack,
) -> Feeds:
    """The feeds of a process whose machine has several; `folder` holds the reader's socket."""
    leads = processes.local_rank == 0
    listener = opened.enter_context(Listener(str(folder / "stream"), "AF_UNIX")) if leads else None
    addresses = processes.gather(str(folder / "stream"))  # the one of each machine's reader counts
    if listener is None:
        return {split: StreamFollower(_call(addresses, split, processes, opened)) for split in SPLITS}
    links: dict[Split, dict[int, Connection]] = {split: {} for split in SPLITS}
    for _ in range(len(SPLITS) * (processes.local_world_size - 1)):
        connection = opened.enter_context(listener.accept())
        split, rank = connection.recv()
        links[split][rank] = connection
    return {
        split: replace(_feed(split, streams, settings, processes, known), others=tuple(links[split].items()))
        for split in SPLITS
    }


def _call(addresses: Sequence[str], split: Split, processes: Distributed, opened: ExitStack) -> Connection:
    """Connect with the reader of this machine and say who calls."""
    connection = opened.enter_context(Client(addresses[processes.rank - processes.local_rank], "AF_UNIX"))
    connection.send((split, processes.rank))
    return connection


def _feed(
    split: Split,
    streams: Streams,
    settings: Hyperparameters,
    processes: Distributed,
    known: Mapping[Split, StreamIdentity],
) -> StreamReader:
    """The reader of one stream: training pairs in shuffled batches, validation pairs one for each process."""
    reader = StreamReader(
        streams[split],
        processes.world_size,
        rank=processes.rank,
        world_size=processes.world_size,
        check_pair=partial(known[split].check_pair, split),
    )
    if split == "validation":
        return replace(reader, shuffled=False)
    rollover = settings.last_batch == "rollover"
    return replace(reader, batch_size=settings.mini_batch_size, seed=settings.seed, rollover=rollover)
