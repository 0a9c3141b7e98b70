"""RecordIO: records of bytes one after the other, in a stream that only goes forward or in a file.

Source: dmlc-core, `include/dmlc/recordio.h` and `src/recordio.cc`; SageMaker's contract, section 2.2.
"""

import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from segwright.errors import DataError
from segwright.formats.file_types import sniff

MAGIC: Final = 0xCED7230A  # the number that every part of a record begins with, little-endian
MAX_RECORD: Final = (1 << 29) - 1  # bytes of a payload, all parts together, as dmlc's writer: a length has 29 bits

_MAGIC_BYTES: Final = struct.pack("<I", MAGIC)
_HEADER: Final = struct.Struct("<II")
_ALIGNMENT: Final = 4
_LENGTH_BITS: Final = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_CHUNK: Final = 1 << 20  # bytes read at once, so that a length that lies allocates no more than this
_DAMAGED: Final = "The stream is damaged or was cut off: write it anew."

Parts = tuple[tuple[int, int], ...]  # where a payload lies in its file: (offset, length) in bytes of each part


@dataclass(frozen=True)
class Record:
    """One payload, the number of its record in the stream, from 0, and the byte at which the record begins."""

    number: int
    offset: int
    payload: bytes = field(repr=False)


def write_record(payload: bytes) -> bytes:
    """The frame of one payload, byte for byte as dmlc's writer makes it: cut into parts at each magic number that
    begins at a multiple of four bytes, which is dropped. Raises DataError for more than MAX_RECORD bytes.
    """
    _check_length(payload)
    parts, start, found = list[bytes](), 0, payload.find(_MAGIC_BYTES)
    while found >= 0:
        if found % _ALIGNMENT == 0:
            parts.append(payload[start:found])
            start = found + len(_MAGIC_BYTES)
        found = payload.find(_MAGIC_BYTES, found + 1)
    if not parts:
        return _frame(_WHOLE, payload)
    flags = [_FIRST, *[_MIDDLE] * (len(parts) - 1), _LAST]
    return b"".join(map(_frame, flags, [*parts, payload[start:]]))


def write_whole_record(payload: bytes) -> bytes:
    """The frame of one payload in one part, whatever it holds, as SageMaker's SDK makes it: every reader takes that,
    and some know nothing else. Raises DataError for more than MAX_RECORD bytes.
    """
    _check_length(payload)
    return _frame(_WHOLE, payload)


def read_records(stream: IO[bytes], name: str) -> Iterator[Record]:
    """Read records to the end of a stream that cannot go back, each as soon as it is requested.

    Takes memory for at most two payloads, whatever lengths the stream claims. Raises DataError that names channel or
    file, record, byte and first bytes: for what is no RecordIO, parts out of order, a payload above MAX_RECORD, and a
    stream that ends within a record.
    """
    for number, (offset, parts) in enumerate(_Reader(stream, name).records()):
        yield Record(number, offset, join_parts(parts))


def index_records(stream: IO[bytes], name: str, size: int) -> list[Parts]:
    """Find the records of a file of `size` bytes by reading nothing but their headers. `join_parts` makes a payload of
    the bytes of its parts. Raises DataError as `read_records` does.
    """
    return [tuple(parts) for _, parts in _Reader(stream, name, size).records()]


def join_parts(parts: Sequence[bytes]) -> bytes:
    """The payload that was cut into these parts: the magic number goes back between them."""
    return _MAGIC_BYTES.join(parts)


def _check_length(payload: bytes) -> None:
    if len(payload) > MAX_RECORD:
        raise DataError(
            f"A payload of {len(payload):,} bytes does not fit into a RecordIO record, which holds {MAX_RECORD:,} at "
            "most: make the image smaller."
        )


def _frame(flag: int, part: bytes) -> bytes:
    return b"".join((_HEADER.pack(MAGIC, flag << _LENGTH_BITS | len(part)), part, bytes(-len(part) % _ALIGNMENT)))


class _Reader:
    """Reads a stream whole, or in a file of known size only the headers."""

    def __init__(self, stream: IO[bytes], name: str, size: int | None = None) -> None:
        self._stream, self._name, self._size = stream, name, size
        self._position = self._record = self._offset = 0
        self._header = b""

    def records(self) -> Iterator[tuple[int, list[Any]]]:
        """All records: the byte at which each begins, and its parts: bytes, or in a file offset and length."""
        for self._record in itertools.count():
            if not self._read_header():
                return
            yield self._offset, self._parts()

    def _read_header(self) -> bool:
        self._offset = self._position
        if self._size is not None:
            self._stream.seek(self._position)
        self._header = self._take(_HEADER.size)
        return bool(self._header)

    def _parts(self) -> list[Any]:
        parts: list[Any] = []
        total = 0
        while True:
            flag, length = self._parse_header(within=bool(parts))
            total += length + (len(_MAGIC_BYTES) if parts else 0)
            if total > MAX_RECORD:
                raise self._error(f"grows beyond the {MAX_RECORD:,} bytes that a record holds")
            start, needed = self._position, length + -length % _ALIGNMENT
            if self._size is None:
                parts.append(self._take(length))
                self._take(needed - length)
            else:
                parts.append((start, length))
                self._position = min(start + needed, self._size)
            if (there := self._position - start) < needed:
                raise self._error(f"needs {needed:,} bytes after its header, but the stream ends after {there:,}")
            if flag in (_WHOLE, _LAST):
                return parts
            self._read_header()

    def _parse_header(self, within: bool) -> tuple[int, int]:
        """Flag and length; DataError where it is no header, or not one that may stand here."""
        data = self._header
        if within and not data:
            raise self._error("ends before its last part")
        if not data.startswith(_MAGIC_BYTES[: len(data)]):
            wanted = f"{MAGIC:#x} (bytes {_MAGIC_BYTES.hex(' ')})"
            raise self._error(f"does not start with the RecordIO magic number {wanted}", self._hint())
        if len(data) < _HEADER.size:
            raise self._error(f"has only {len(data)} of the {_HEADER.size} bytes of a header")
        flag, length = divmod(_HEADER.unpack(data)[1], 1 << _LENGTH_BITS)
        if flag not in ((_MIDDLE, _LAST) if within else (_WHOLE, _FIRST)):
            where = "within a record of several parts" if within else "at the beginning of a record"
            raise self._error(f"has the continuation flag {flag} {where}")
        return flag, length

    def _take(self, size: int) -> bytes:
        """So many bytes, or as many as there are until the end, of a stream that may give less than requested."""
        data = self._stream.read(min(size, _CHUNK)) if size else b""
        if 0 < len(data) < size:
            collected = bytearray(data)
            while len(collected) < size and (data := self._stream.read(min(size - len(collected), _CHUNK))):
                collected += data
            data = bytes(collected)
        self._position += len(data)
        return data

    def _error(self, what: str, advice: str = _DAMAGED) -> DataError:
        shown = f"Its first bytes are {self._header.hex(' ')}. " if self._header else ""
        where = f"{self._name}: record {self._record} (from 0), at byte {self._offset:,}"
        return DataError(f"{where}, {what}. {shown}{advice}")

    def _hint(self) -> str:
        """Why a stream is no RecordIO, as far as its first bytes show."""
        if self._offset:
            return _DAMAGED
        if container := sniff(self._header):
            return f"This is a {container} file without a frame: the channel needs RecordWrapperType RecordIO."
        if self._header.startswith(b"\x1f\x8b"):
            return "This is gzip: unpack it first, or give the channel the CompressionType Gzip."
        if self._header.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            return (
                "This is JSON, such as a manifest itself: the channel needs S3DataType AugmentedManifestFile and "
                "RecordWrapperType RecordIO."
            )
        return "The channel needs RecordWrapperType RecordIO."
