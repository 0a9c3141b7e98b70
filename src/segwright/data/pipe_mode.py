"""A channel in Pipe mode: FIFOs `<channel>_0`, `<channel>_1`, ..., one for each pass over the data.

A FIFO is read once, from its beginning, by one reader. Memory holds the records of one pair, and the first pairs while
they are checked. Source: SageMaker's contract, sections 2.1 and 2.2.
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

from segwright.data.lists import pair_of_records, records_in_pair
from segwright.data.pairs import Pair
from segwright.errors import DataError
from segwright.formats.recordio import read_records
from segwright.storage import BytesBlob

logger = logging.getLogger(__name__)

FIRST_PAIRS: Final = 64
FIRST_BYTES: Final = 1 << 26
"""How much of a stream is checked before the first step: so many pairs, or so many bytes if that is less."""

_PATIENCE: Final = 1800.0  # seconds until a FIFO that does not appear is given up
_LOG_AFTER: Final = 10.0
_POLL_SECONDS: Final = 0.1
_BUFFER: Final = 1 << 20


class FifoStream:
    """The passes over one channel, one after the other."""

    def __init__(self, prefix: Path, patience: float = _PATIENCE) -> None:
        """`prefix` is the path of the FIFOs without `_0`; `patience` is how many seconds a late one is waited for."""
        self.prefix, self._patience = prefix, patience
        self._passes = 0
        self.begun: tuple[Pair, ...] = ()  # the first pairs of the next pass, where `first_pairs` has read them already
        self._rest: Iterator[Pair] | None = None

    def first_pairs(self, while_waiting: Callable[[], None] = lambda: None) -> tuple[Pair, ...]:
        """The first pairs of the next pass, which will still deliver them. Raises DataError where there are none.

        `while_waiting` is called again and again until something is written; what it raises ends the pass.
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
        """The pairs of one pass; raises DataError as `first_pairs` does. Closing the generator closes the FIFO."""
        begun, rest = self.begun, self._rest or self._open_pass()
        self.begun, self._rest = (), None
        yield from begun
        yield from rest

    def _open_pass(self, while_waiting: Callable[[], None] = lambda: None) -> Generator[Pair]:
        path = self.prefix.with_name(f"{self.prefix.name}_{self._passes}")
        self._passes += 1
        return _read_pairs(path, self._patience, while_waiting)


def _read_pairs(path: Path, patience: float, while_waiting: Callable[[], None]) -> Generator[Pair]:
    """Pairs from records: image, mask, and with three attributes their metadata, which is JSON."""
    try:
        with _open(path, patience, while_waiting) as stream:
            blobs = (
                BytesBlob(f"{path} record {record.number} (byte {record.offset})", record.payload)
                for record in read_records(stream, str(path))
            )
            first = list(islice(blobs, 3))
            width = records_in_pair(first)
            coming = chain(first, blobs)
            for number, group in enumerate(iter(lambda: list(islice(coming, width)), [])):
                if len(group) < width:
                    raise DataError(
                        f"{path} ends after record {number * width + len(group) - 1}, in the middle of a pair: image, "
                        f"mask{', metadata' if width == 3 else ''} must follow one another. Did its writer end early?"
                    )
                yield pair_of_records(f"{path.name} pair {number}", group)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _open(path: Path, patience: float, while_waiting: Callable[[], None]) -> IO[bytes]:
    """Open a FIFO, which may appear late or be replaced, and wait until something is written to it."""
    start, logged = time.monotonic(), False
    descriptor = None
    try:
        while True:
            descriptor = _current(path, descriptor)
            if descriptor is None:
                time.sleep(_POLL_SECONDS)
            else:
                poller = select.poll()
                poller.register(descriptor, select.POLLIN)
                if poller.poll(1000 * _POLL_SECONDS):  # bytes, or the end of them
                    break
            while_waiting()
            waited = time.monotonic() - start
            if waited > patience:
                raise DataError(_given_up(path, patience))
            if waited > _LOG_AFTER and not logged:
                logger.info("waiting for %s", path)
                logged = True
        os.set_blocking(descriptor, True)
        stream = os.fdopen(descriptor, "rb", buffering=_BUFFER)
        descriptor = None
    finally:
        if descriptor is not None:
            os.close(descriptor)
    with suppress(ImportError, AttributeError, OSError):  # not every system, and not every file
        import fcntl

        # A pipe that holds more: reader and writer wake each other less often.
        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _BUFFER)
    return stream


def _current(path: Path, descriptor: int | None) -> int | None:
    """The descriptor of what lies at the path now, else that of what was opened there; closes one that is replaced."""
    try:
        if descriptor is not None and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        newer = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:  # a writer may remove the name of what it has opened
        return descriptor
    if descriptor is not None:
        os.close(descriptor)
    return newer


def _given_up(path: Path, patience: float) -> str:
    prefix = path.name.rpartition("_")[0]
    others = sorted(other.name for other in path.parent.glob(f"{prefix}_*") if other != path)
    seen = f" Beside it there is {others[0]}: its writer must begin anew with this reader." if others else ""
    what = "was not written to" if path.exists() else "did not appear"
    return (
        f"{path} {what} within {patience:.0f} seconds. In Pipe mode each pass over a channel is a FIFO of its own: "
        f"check the channel's name, and that its writer is still running.{seen}"
    )
