"""A channel in Pipe mode: FIFOs `<channel>_0`, `<channel>_1`, ..., one for each pass over the data.

Knows FIFOs that appear late, records that follow one another, and what the first records are. A FIFO is read once,
from its beginning, by one reader. Refuses to know batches and classes. Memory holds the records of one pair, and the
first pairs while they are looked at.

Source: SageMaker's contract, sections 2.1 and 2.2.
"""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, Final

from segwright.data.manifests import legend_of
from segwright.data.pairs import Pair
from segwright.errors import DataError
from segwright.formats.containers import sniff
from segwright.formats.legend import Legend
from segwright.formats.manifest import parse_object
from segwright.formats.recordio import Record, read_records
from segwright.storage import HeldBlob

FIRST_PAIRS: Final = 64
FIRST_BYTES: Final = 1 << 26
"""How much of a stream is looked at before the first step: so many pairs, or so many bytes if that is less."""

_PATIENCE: Final = 1800.0  # seconds until a FIFO that does not appear is given up
_SAY_AFTER: Final = 10.0
_LOOK_EVERY: Final = 0.1
_BUFFER: Final = 1 << 20

_logger = logging.getLogger("segwright")


class FifoStream:
    """The passes over one channel, one after the other."""

    def __init__(self, prefix: Path, patience: float = _PATIENCE) -> None:
        """`prefix` is the path of the FIFOs without `_0`; `patience` is how many seconds a late one is waited for."""
        self.prefix, self._patience = prefix, patience
        self._passes = 0
        self._begun: Iterator[Pair] | None = None

    def first_pairs(self) -> tuple[Pair, ...]:
        """The first pairs of the next pass, which will still deliver them.

        Raises DataError for a FIFO that never appears, and for one that holds something else than pairs of records.
        """
        coming = self._open_pass()
        held: list[Pair] = []
        size = 0
        for pair in islice(coming, FIRST_PAIRS):
            held.append(pair)
            size += len(pair.image.read()) + len(pair.mask.read())
            if size >= FIRST_BYTES:
                break
        self._begun = chain(held, coming)
        return tuple(held)

    def pairs(self) -> Iterator[Pair]:
        """The pairs of one pass in the order in which they come; raises DataError as `first_pairs` does."""
        coming = self._begun or self._open_pass()
        self._begun = None
        return coming

    def _open_pass(self) -> Iterator[Pair]:
        path = self.prefix.with_name(f"{self.prefix.name}_{self._passes}")
        self._passes += 1
        return _read_pairs(path, self._patience)


def _read_pairs(path: Path, patience: float) -> Iterator[Pair]:
    _wait_for(path, patience)
    try:
        with path.open("rb", buffering=_BUFFER) as stream:
            _widen(stream)
            yield from _grouped(stream, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _widen(stream: IO[bytes]) -> None:
    """Let a pipe hold more, where the system can, so that reader and writer wake each other less often."""
    size = getattr(fcntl, "F_SETPIPE_SZ", None)
    with suppress(OSError):  # not a pipe, or more than the system allows
        if size is not None:
            fcntl.fcntl(stream, size, _BUFFER)


def _wait_for(path: Path, patience: float) -> None:
    start = time.monotonic()
    said = False
    while not path.exists():
        waited = time.monotonic() - start
        if waited > patience:
            raise DataError(
                f"{path} did not appear within {patience:.0f} seconds. In Pipe mode each pass over a channel is a FIFO "
                "of its own: check the channel's name, and that whoever writes it is still running."
            )
        if waited > _SAY_AFTER and not said:
            _logger.info("waiting for %s", path)
            said = True
        time.sleep(_LOOK_EVERY)


def _grouped(stream: IO[bytes], path: Path) -> Iterator[Pair]:
    """Pairs from records: image, mask, and with three attributes their metadata, which is JSON."""
    records = read_records(stream, str(path))
    first = list(islice(records, 3))
    width = 3 if len(first) == 3 and _is_json(first[2].payload) else 2
    coming = chain(first, records)
    for number, image in enumerate(coming):
        rest = list(islice(coming, width - 1))
        if len(rest) < width - 1:
            raise DataError(
                f"{path} ends after record {image.number + len(rest)}, in the middle of a pair: image, mask"
                f"{', metadata' if width == 3 else ''} must follow one another. Did its writer end early?"
            )
        legend = _legend(rest[1], path) if width == 3 else ()
        yield Pair(f"{path.name} pair {number}", _held(image, path), _held(rest[0], path), legend=legend)


def _held(record: Record, path: Path) -> HeldBlob:
    return HeldBlob(f"{path} record {record.number} (byte {record.offset})", record.payload)


def _legend(record: Record, path: Path) -> Legend:
    name = f"{path} record {record.number} (byte {record.offset})"
    return legend_of(parse_object(record.payload, name), name)


def _is_json(payload: bytes) -> bool:
    return sniff(payload) is None and payload.lstrip()[:1] == b"{"
