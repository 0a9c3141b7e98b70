"""Manifests served as FIFOs, the way SageMaker's Pipe mode does it, so that Pipe mode can be tried on a laptop.

For each channel and each pass there is one FIFO, `train_0`, `train_1`, ...; the next one appears when its reader has
closed the one before, at its end or earlier. Source: SageMaker's contract, sections 2.1 and 2.2.
"""

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np

from segwright.data.channels import Split
from segwright.data.lists import read_lines, referred
from segwright.errors import DataError, UserError
from segwright.formats.recordio import write_record
from segwright.storage import Location

_HALF_A_HEADER: Final = 4  # bytes

Served = Callable[[str, int], None]
"""Called with the name of a FIFO that was read and the number of records that were written to it."""


def serve_pipes(
    manifests: Mapping[Split, Location],
    folder: Path,
    *,
    attributes: Sequence[str] | None = None,
    shuffle_seed: int | None = None,
    passes: int | None = None,
    served: Served | None = None,
) -> None:
    """Serve all channels at once until interrupted, or until each was read `passes` times.

    Three `attributes` send metadata as well. With `shuffle_seed` each pass has an order of its own, as with
    SageMaker's ShuffleConfig. Raises DataError for manifests and files that cannot be read; then the stream breaks off
    within a record, so that it is not taken for whole. Raises UserError or OSError for a folder in which no FIFO can
    be made.
    """
    channels = [
        _Channel(manifest, folder / split, attributes, shuffle_seed, passes, served)
        for split, manifest in manifests.items()
    ]
    failures: list[Exception] = []
    threads = [threading.Thread(target=channel.serve, args=(failures,), daemon=True) for channel in channels]
    folder.mkdir(parents=True, exist_ok=True)
    for channel in channels:
        channel.remove_fifos()  # left behind by a server that was killed
    try:
        for thread in threads:
            thread.start()
        while not failures and (running := [thread for thread in threads if thread.is_alive()]):
            running[0].join(0.2)
    finally:
        for channel in channels:
            channel.remove_fifos()
    if failures:
        raise failures[0]


@dataclass
class _Channel:
    manifest: Location
    prefix: Path
    attributes: Sequence[str] | None
    shuffle_seed: int | None
    passes: int | None
    served: Served | None

    def __post_init__(self) -> None:
        self.lines, self.names = read_lines(self.manifest, self.attributes)

    def serve(self, failures: list[Exception]) -> None:
        """Serve all passes; what goes wrong is added to `failures`, for the thread that waits for this one."""
        try:
            for number in count() if self.passes is None else range(self.passes):
                order = np.arange(len(self.lines))
                if self.shuffle_seed is not None:
                    order = np.random.default_rng([self.shuffle_seed, number]).permutation(len(self.lines))
                self._serve_pass(self.prefix.with_name(f"{self.prefix.name}_{number}"), order.tolist())
        except Exception as error:
            failures.append(error)

    def remove_fifos(self) -> None:
        """Remove the FIFOs of all passes."""
        for path in self.prefix.parent.glob(f"{self.prefix.name}_*"):
            with suppress(OSError):
                if stat.S_ISFIFO(path.lstat().st_mode):
                    path.unlink()

    def _serve_pass(self, fifo: Path, order: Sequence[int]) -> None:
        """Write one pass; a reader that closes early has had enough, and the next pass begins."""
        _make_fifo(fifo)
        written = 0
        with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as stream:  # opens when it is read
            try:
                for record in self._records(order):
                    _write_all(stream.fileno(), record)
                    written += 1
            except UserError:
                _write_all(stream.fileno(), write_record(b"")[:_HALF_A_HEADER])
                raise
        fifo.unlink(missing_ok=True)
        if self.served is not None:
            self.served(fifo.name, written)

    def _records(self, order: Sequence[int]) -> Iterator[bytes]:
        """The records of one pass: for each line image, mask and, if three attributes are given, metadata."""
        for line in (self.lines[index] for index in order):
            yield write_record(referred(line, self.names.image, self.manifest).read())
            yield write_record(referred(line, self.names.mask, self.manifest).read())
            if self.attributes is not None and len(self.attributes) == 3:
                yield write_record(json.dumps(line.attributes.get(str(self.names.metadata), {})).encode())


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_fifo(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISFIFO(path.lstat().st_mode):
            raise DataError(f"{path} exists and is no FIFO: name another folder.")
        path.unlink()
    try:
        os.mkfifo(path)
    except OSError as error:
        raise UserError(f"{path}: no FIFO can be made there: {error.strerror}. Name another folder.") from error
