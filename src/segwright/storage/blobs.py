"""Named bytes to be read later: a file, ranges of a file, memory. Small enough to travel between processes."""

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
        """Whether reading mostly waits for a network, so that many are better read at once."""

    @property
    def version(self) -> str:
        """Changes when the bytes do, as far as that is known without reading them."""

    def read(self) -> bytes:
        """All bytes. Raises DataError where they cannot be read."""


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
        """Path, size and modification time."""
        return _version(self.path)

    def read(self) -> bytes:
        """The file's bytes. DataError where the system refuses, and for a device or a pipe."""
        try:
            if not self.path.is_file() and self.path.exists():
                raise DataError(f"{self.path} is no file.", file=str(self.path))
            return self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from error


@dataclass(frozen=True)
class FileRangesBlob:
    """Ranges of a file, (offset, length) in bytes each, put together by `join`."""

    path: Path
    name: str
    ranges: tuple[tuple[int, int], ...]
    join: Callable[[Sequence[bytes]], bytes]
    remote: bool = field(default=False, init=False)

    @property
    def version(self) -> str:
        """Path, size and modification time of the file."""
        return _version(self.path)

    def read(self) -> bytes:
        """The joined bytes. DataError where the system refuses or the file has become shorter."""
        parts = []
        try:
            with self.path.open("rb") as stream:
                for offset, length in self.ranges:
                    stream.seek(offset)
                    parts.append(stream.read(length))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if any(len(part) < length for part, (_, length) in zip(parts, self.ranges, strict=True)):
            raise DataError(f"{self.name}: the file has become shorter; do not change it during a training.")
        return self.join(parts)


@dataclass(frozen=True)
class BytesBlob:
    """Bytes in memory."""

    name: str
    data: bytes = field(repr=False)
    remote: bool = field(default=False, init=False)
    version: str = field(default="", init=False)

    def read(self) -> bytes:
        """The bytes."""
        return self.data


def _version(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror}.", file=str(path))
