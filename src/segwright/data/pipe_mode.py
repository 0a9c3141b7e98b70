"""A channel in Pipe mode: FIFOs `<channel>_0`, `<channel>_1`, ..., one for each pass over the data.

Knows FIFOs that appear late, records that follow one another, and what the first records are. A FIFO is read once,
from its beginning, by one reader. Refuses to know batches and classes. Memory holds the records of one pair, and the
first pairs while they are looked at.

Source: SageMaker's contract, sections 2.1 and 2.2.
"""

import logging
import os
import select
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, Final

from segwright.data.manifests import palette_classes_of
from segwright.data.pairs import Pair
from segwright.errors import DataError
from segwright.formats.manifest import is_json, parse_object
from segwright.formats.masks import PaletteClasses
from segwright.formats.recordio import Record, read_records
from segwright.storage import BytesBlob

logger = logging.getLogger(__name__)

FIRST_PAIRS: Final = 64
FIRST_BYTES: Final = 1 << 26
"""How much of a stream is looked at before the first step: so many pairs, or so many bytes if that is less."""

_PATIENCE: Final = 1800.0  # seconds until a FIFO that does not appear is given up
_SAY_AFTER: Final = 10.0
_LOOK_EVERY: Final = 0.1
_BUFFER: Final = 1 << 20


class FifoStream:
    """The passes over one channel, one after the other."""

    def __init__(self, prefix: Path, patience: float = _PATIENCE) -> None:
        """`prefix` is the path of the FIFOs without `_0`; `patience` is how many seconds a late one is waited for."""
        self.prefix, self._patience = prefix, patience
        self._passes = 0
        self.begun: tuple[Pair, ...] = ()
        """The first pairs of the next pass, where `first_pairs` has read them already."""
        self._rest: Iterator[Pair] | None = None

    def first_pairs(self, while_waiting: Callable[[], None] = lambda: None) -> tuple[Pair, ...]:
        """The first pairs of the next pass, which will still deliver them.

        `while_waiting` is called again and again until somebody writes; what it raises ends the pass. Raises DataError
        for a FIFO that never appears, and for one that holds something else than pairs of records.
        """
        self._rest = self._open_pass(while_waiting)
        held: list[Pair] = []
        size = 0
        for pair in islice(self._rest, FIRST_PAIRS):
            held.append(pair)
            size += len(pair.image.read()) + len(pair.mask.read())
            if size >= FIRST_BYTES:
                break
        self.begun = tuple(held)
        return self.begun

    def pairs(self) -> Generator[Pair]:
        """The pairs of one pass in the order in which they come; raises DataError as `first_pairs` does.

        Closing the generator closes the FIFO, early if need be.
        """
        begun, rest = self.begun, self._rest or self._open_pass()
        self.begun, self._rest = (), None
        yield from begun
        yield from rest

    def _open_pass(self, while_waiting: Callable[[], None] = lambda: None) -> Generator[Pair]:
        path = self.prefix.with_name(f"{self.prefix.name}_{self._passes}")
        self._passes += 1
        return _read_pairs(path, self._patience, while_waiting)


def _read_pairs(path: Path, patience: float, while_waiting: Callable[[], None]) -> Generator[Pair]:
    try:
        with _opened(path, patience, while_waiting) as stream:
            yield from _grouped(stream, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _opened(path: Path, patience: float, while_waiting: Callable[[], None]) -> IO[bytes]:
    """Open a FIFO and wait until somebody writes to it.

    It may appear late, and where a killed writer left it behind, another one may take its place.
    """
    start, said = time.monotonic(), False
    descriptor = None
    try:
        while True:
            descriptor = _current(path, descriptor)
            if descriptor is None:
                time.sleep(_LOOK_EVERY)
            elif _has_bytes(descriptor):
                break
            while_waiting()
            waited = time.monotonic() - start
            if waited > patience:
                raise DataError(_given_up(path, patience))
            if waited > _SAY_AFTER and not said:
                logger.info("waiting for %s", path)
                said = True
        os.set_blocking(descriptor, True)
        stream = os.fdopen(descriptor, "rb", buffering=_BUFFER)
        descriptor = None
    finally:
        if descriptor is not None:
            os.close(descriptor)
    _widen(stream)
    return stream


def _current(path: Path, descriptor: int | None) -> int | None:
    """The descriptor of what lies at the path now, or of what was opened there where nothing does; None without both.

    The one that was opened before is closed once another one takes its place.
    """
    try:
        if descriptor is not None and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        newer = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:  # a writer may remove the name of what it has opened
        return descriptor
    if descriptor is not None:
        os.close(descriptor)
    return newer


def _has_bytes(descriptor: int) -> bool:
    """Whether bytes, or the end of them, are there; waits a moment for them. False while nobody has written."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(1000 * _LOOK_EVERY))


def _given_up(path: Path, patience: float) -> str:
    prefix = path.name.rpartition("_")[0]
    others = sorted(other.name for other in path.parent.glob(f"{prefix}_*") if other != path)
    seen = f" Beside it there is {others[0]}: whoever writes must begin anew with this reader." if others else ""
    what = "was not written to" if path.exists() else "did not appear"
    return (
        f"{path} {what} within {patience:.0f} seconds. In Pipe mode each pass over a channel is a FIFO of its own: "
        f"check the channel's name, and that whoever writes it is still running.{seen}"
    )


def _widen(stream: IO[bytes]) -> None:
    """Let a pipe hold more, where the system can, so that reader and writer wake each other less often."""
    with suppress(ImportError, AttributeError, OSError):  # not every system, and not every file
        import fcntl

        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _BUFFER)


def _grouped(stream: IO[bytes], path: Path) -> Iterator[Pair]:
    """Pairs from records: image, mask, and with three attributes their metadata, which is JSON."""
    records = read_records(stream, str(path))
    first = list(islice(records, 3))
    width = 3 if len(first) == 3 and is_json(first[2].payload) else 2
    coming = chain(first, records)
    for number, image in enumerate(coming):
        rest = list(islice(coming, width - 1))
        if len(rest) < width - 1:
            raise DataError(
                f"{path} ends after record {image.number + len(rest)}, in the middle of a pair: image, mask"
                f"{', metadata' if width == 3 else ''} must follow one another. Did its writer end early?"
            )
        palette_classes = _palette_classes(rest[1], path) if width == 3 else ()
        yield Pair(
            f"{path.name} pair {number}", _held(image, path), _held(rest[0], path), palette_classes=palette_classes
        )


def _held(record: Record, path: Path) -> BytesBlob:
    return BytesBlob(f"{path} record {record.number} (byte {record.offset})", record.payload)


def _palette_classes(record: Record, path: Path) -> PaletteClasses:
    name = f"{path} record {record.number} (byte {record.offset})"
    return palette_classes_of(parse_object(record.payload, name), name)
