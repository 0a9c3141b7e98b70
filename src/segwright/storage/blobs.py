"""Bytes that can be read, whatever they lie in, under a name that a person recognises.

Knows files and memory; objects in S3 are in `s3`. Refuses to know what the bytes mean. A blob is small and travels
between processes; reading it takes memory for its bytes once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from segwright.errors import DataError


class Blob(Protocol):
    """Some bytes and their name."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def remote(self) -> bool:
        """Whether reading it mostly waits for a network, so that many are better read at once."""

    @property
    def version(self) -> str:
        """A text that changes when the bytes do, as far as that can be told without reading them."""

    def read(self) -> bytes:
        """All its bytes. Raises DataError where they cannot be had."""


@dataclass(frozen=True)
class FileBlob:
    """A whole file."""

    path: Path
    remote: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        """The path as it was given."""
        return str(self.path)

    @property
    def version(self) -> str:
        """Place, size and time of the last change."""
        return _version(self.path)

    def read(self) -> bytes:
        """All bytes of the file; DataError where the system refuses, and for what is no file (a device, a pipe)."""
        try:
            if not self.path.is_file() and self.path.exists():
                raise DataError(f"{self.path} is no file.")
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error


@dataclass(frozen=True)
class FileRangesBlob:
    """Pieces of a file, (offset, length) in bytes each, put together by `join`."""

    path: Path
    name: str
    pieces: tuple[tuple[int, int], ...]
    join: Callable[[Sequence[bytes]], bytes]
    remote: bool = field(default=False, init=False)

    @property
    def version(self) -> str:
        """Place, size and time of the last change of the file."""
        return _version(self.path)

    def read(self) -> bytes:
        """The joined bytes; DataError where the system refuses or the file has become shorter."""
        try:
            with self.path.open("rb") as stream:
                parts = []
                for offset, length in self.pieces:
                    stream.seek(offset)
                    parts.append(stream.read(length))
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error
        if any(len(part) < length for part, (_, length) in zip(parts, self.pieces, strict=True)):
            raise DataError(f"{self.name}: the file has become shorter than it was; leave it alone during a training.")
        return self.join(parts)


@dataclass(frozen=True)
class BytesBlob:
    """Bytes in memory, from a stream for example."""

    name: str
    data: bytes = field(repr=False)
    remote: bool = field(default=False, init=False)
    version: str = field(default="", init=False)

    def read(self) -> bytes:
        """The bytes."""
        return self.data


def _version(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
