"""The data of a training as each process gets them: batches to train on and pairs to validate on, from lists or from
streams, which one process of each machine reads for all.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from segwright.checks.channel import StreamCheck
from segwright.checks.prepare import CheckedData, Streams
from segwright.data.channels import SPLITS, Channels, Split
from segwright.data.loader import TrainingLoader, stream_loader, training_loader
from segwright.data.pairs import Pair
from segwright.data.pipe_batches import BatchStream, StreamFollower, StreamReader
from segwright.distributed import Distributed
from segwright.hyperparameters import Hyperparameters
from segwright.training.resumed_streams import StreamIdentity


@dataclass(frozen=True)
class TrainingData:
    """Both channels in one process."""

    prepared: CheckedData
    streams: Mapping[Split, BatchStream]  # empty where channels are lists
    settings: Hyperparameters
    processes: Distributed
    strict: bool = False

    def train_loader(self, counted: int | None, *, pin_memory: bool) -> TrainingLoader:
        """The training batches of this process; `counted` is how many pairs a pass over the stream held, if known."""
        settings, data, label_map = self.settings, self.prepared, self.prepared.train.label_map
        if stream := self.streams.get("train"):
            expected, check = counted or settings.num_training_samples or 0, self._stream_check("train")
            return stream_loader(stream, expected, label_map, settings, check, self.processes, pin_memory=pin_memory)
        pairs = data.train.pairs
        return training_loader(pairs, label_map, settings, data.pixel_format, self.processes, pin_memory=pin_memory)

    def validation_pairs(self, epoch: int) -> tuple[Iterable[Pair], int, StreamCheck | None]:
        """The validation pairs of this process, how many there are (0: unknown), and what checks those of a stream."""
        processes = self.processes
        if stream := self.streams.get("validation"):
            pairs = (sample.pair for share in stream.batches(epoch) for sample in share if sample.counted)
            return pairs, (stream.pairs_seen or 0) // processes.world_size, self._stream_check("validation")
        share = self.prepared.validation.pairs[processes.rank :: processes.world_size]
        return share, len(share), None

    def _stream_check(self, split: Split) -> StreamCheck:
        return StreamCheck(split, self.prepared.num_classes, self.prepared.pixel_format, self.strict)


def open_streams(channels: Channels, processes: Distributed) -> Streams:
    """The streams of the channels, in the one process of each machine that may read them; nothing is read yet."""
    streams = {split: channels.stream(split) for split in SPLITS if processes.local_rank == 0}
    return {split: stream for split, stream in streams.items() if stream is not None}


@contextmanager
def read_streams(
    channels: Channels,
    streams: Streams,
    settings: Hyperparameters,
    processes: Distributed,
    known: Mapping[Split, StreamIdentity],
    while_waiting: Callable[[], None],
) -> Iterator[Mapping[Split, BatchStream]]:
    """Connect the processes of each machine with the one that reads its streams; nothing in mode `File`.

    Each pair is compared with what is `known` of its stream. `while_waiting` is called while a stream is silent, in a
    training of one process: several stop only together.
    """
    with ExitStack() as stack:
        if channels.input_mode == "File":
            yield {}
        elif processes.local_rank == 0:
            others = _accept_followers(processes, stack)
            yield {
                split: StreamReader(
                    streams[split],
                    batch_size=settings.mini_batch_size if split == "train" else processes.world_size,
                    seed=settings.seed,
                    shuffled=split == "train",
                    rollover=split == "train" and settings.last_batch == "rollover",
                    rank=processes.rank,
                    world_size=processes.world_size,
                    others=others[split],
                    while_waiting=while_waiting if processes.world_size == 1 else lambda: None,
                    check_pair=partial(known[split].check_pair, split),
                )
                for split in SPLITS
            }
        else:
            address = processes.gather("")[processes.rank - processes.local_rank]
            followers = {split: stack.enter_context(Client(address, "AF_UNIX")) for split in SPLITS}
            for split, connection in followers.items():
                connection.send((split, processes.rank))
            yield {split: StreamFollower(connection) for split, connection in followers.items()}


def _accept_followers(processes: Distributed, stack: ExitStack) -> Mapping[Split, list[tuple[int, Connection]]]:
    """Connections with the other processes of this machine, by rank."""
    followers: dict[Split, list[tuple[int, Connection]]] = {split: [] for split in SPLITS}
    if processes.world_size > 1:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segwright-"))
        address = str(Path(folder) / "stream")
        listener = stack.enter_context(Listener(address, "AF_UNIX"))
        processes.gather(address)
        for _ in range(len(SPLITS) * (processes.local_world_size - 1)):
            connection = stack.enter_context(listener.accept())
            split, rank = connection.recv()
            followers[split].append((rank, connection))
    return followers
