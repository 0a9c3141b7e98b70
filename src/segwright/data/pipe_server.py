"""A manifest served as FIFOs, the way SageMaker's Pipe mode does it, so that Pipe mode can be tried on a laptop.

Knows manifests, records and FIFOs. For each channel and each pass there is one FIFO, `train_0`, `train_1`, ...; the
next one appears when its reader has closed the one before, at its end or earlier. Refuses to look at pictures.

Source: SageMaker's contract, sections 2.1 and 2.2.
"""

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from segwright.data.channels import Split
from segwright.data.manifests import read_lines, referred
from segwright.errors import DataError, UserError
from segwright.formats.manifest import Attributes, ManifestLine
from segwright.formats.recordio import write_record
from segwright.storage import Location

_HALF_A_HEADER: Final = 4  # bytes

Served = Callable[[str, int], None]
"""Called with the name of a FIFO that was read and the number of records that were written to it."""


@dataclass(frozen=True)
class _Channel:
    """One manifest and what is written of each of its lines."""

    manifest: Location
    lines: Sequence[ManifestLine]
    names: Attributes
    with_metadata: bool

    def records(self, order: Sequence[int]) -> Iterator[bytes]:
        """The records of one pass: for each line image, mask and, if wanted, metadata."""
        for index in order:
            line = self.lines[index]
            yield write_record(referred(line, self.names.image, self.manifest).read())
            yield write_record(referred(line, self.names.mask, self.manifest).read())
            if self.with_metadata:
                yield write_record(json.dumps(line.attributes.get(str(self.names.metadata), {})).encode())


def serve(
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
    within a record, so that nobody takes it for whole. Raises UserError or OSError for a folder in which no FIFO can
    be made.
    """
    channels = {split: _open(place, attributes) for split, place in manifests.items()}
    failures: list[Exception] = []
    threads = [
        threading.Thread(
            target=_serve_channel, args=(channel, folder / split, shuffle_seed, passes, served, failures), daemon=True
        )
        for split, channel in channels.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for split in channels:
        _remove_fifos(folder, split)  # left behind by a server that was killed
    try:
        for thread in threads:
            thread.start()
        while not failures and any(thread.is_alive() for thread in threads):
            threads[0 if threads[0].is_alive() else -1].join(0.2)
    finally:
        for split in channels:
            _remove_fifos(folder, split)
    if failures:
        raise failures[0]


def _open(manifest: Location, attributes: Sequence[str] | None) -> _Channel:
    lines, names = read_lines(manifest, attributes)
    return _Channel(manifest, lines, names, with_metadata=attributes is not None and len(attributes) == 3)


def _serve_channel(
    channel: _Channel,
    prefix: Path,
    seed: int | None,
    passes: int | None,
    served: Served | None,
    failures: list[Exception],
) -> None:
    number = 0
    try:
        while passes is None or number < passes:
            order = np.arange(len(channel.lines))
            if seed is not None:
                order = np.random.default_rng([seed, number]).permutation(len(channel.lines))
            _serve_pass(channel, prefix.with_name(f"{prefix.name}_{number}"), order.tolist(), served)
            number += 1
    except Exception as error:  # raised again by the thread that was asked to serve
        failures.append(error)


def _serve_pass(channel: _Channel, fifo: Path, order: Sequence[int], served: Served | None) -> None:
    """Write one pass; a reader that closes early has had enough, and the next pass begins."""
    _make_fifo(fifo)
    written = 0
    with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as stream:  # opens when somebody reads
        try:
            for record in channel.records(order):
                _write_all(stream.fileno(), record)
                written += 1
        except UserError:
            _write_all(stream.fileno(), write_record(b"")[:_HALF_A_HEADER])
            raise
    fifo.unlink(missing_ok=True)
    if served is not None:
        served(fifo.name, written)


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


def _remove_fifos(folder: Path, split: str) -> None:
    for path in folder.glob(f"{split}_*"):
        with suppress(OSError):
            if stat.S_ISFIFO(path.lstat().st_mode):
                path.unlink()
