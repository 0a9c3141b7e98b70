"""The streams of a training: who reads them on each machine, and how the other processes get their shares.

Knows processes and sockets. Refuses to know what passes through.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Literal

from segwright.data.channels import Channels, Side
from segwright.data.feed import Feed, HostFeed, LinkedFeed
from segwright.data.preparation import Streams
from segwright.hyperparameters import Hyperparameters
from segwright.training.processes import Processes

Feeds = dict[Side, Feed]
SIDES: tuple[Literal["train"], Literal["validation"]] = ("train", "validation")


def open_streams(channels: Channels, processes: Processes) -> Streams:
    """The streams of the channels, in the one process of each machine that may read them; nothing is read yet."""
    if processes.local_rank:
        return {}
    streams = {side: channels.stream(side) for side in SIDES}
    return {side: stream for side, stream in streams.items() if stream is not None}


@contextmanager
def open_feeds(
    channels: Channels, streams: Streams, settings: Hyperparameters, processes: Processes
) -> Iterator[Feeds]:
    """Connect the processes of each machine with the one that reads its streams; nothing in mode `File`."""
    if channels.input_mode == "File":
        yield {}
    elif processes.local_world_size == 1:
        yield {side: _host_feed(side, streams, settings, processes, {}) for side in SIDES}
    else:
        with tempfile.TemporaryDirectory(prefix="segwright-") as folder:
            yield from _connected(Path(folder), streams, settings, processes)


def _connected(folder: Path, streams: Streams, settings: Hyperparameters, processes: Processes) -> Iterator[Feeds]:
    """The feeds of a process whose machine has several; `folder` holds the reader's socket."""
    leads = processes.local_rank == 0
    listener = Listener(str(folder / "stream"), "AF_UNIX") if leads else None
    addresses = processes.gather(str(folder / "stream"))  # the one of each machine's reader counts
    if listener:
        links: dict[Side, dict[int, Connection]] = {side: {} for side in SIDES}
        for _ in range(len(SIDES) * (processes.local_world_size - 1)):
            connection = listener.accept()
            side, rank = connection.recv()
            links[side][rank] = connection
        yield {side: _host_feed(side, streams, settings, processes, links[side]) for side in SIDES}
        listener.close()
        return
    feeds: Feeds = {}
    for side in SIDES:
        connection = Client(addresses[processes.rank - processes.local_rank], "AF_UNIX")
        connection.send((side, processes.rank))
        feeds[side] = LinkedFeed(connection)
    yield feeds


def _host_feed(
    side: Side,
    streams: Streams,
    settings: Hyperparameters,
    processes: Processes,
    links: "dict[int, Connection]",
) -> HostFeed:
    feed = HostFeed(
        streams[side],
        batch_size=processes.world_size,
        shuffled=False,
        rank=processes.rank,
        world_size=processes.world_size,
        others=tuple(links.items()),
    )
    if side == "validation":
        return feed
    return replace(
        feed,
        batch_size=settings.mini_batch_size,
        seed=settings.seed,
        shuffled=True,
        rollover=settings.last_batch == "rollover",
    )
