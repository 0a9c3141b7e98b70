"""Named bytes to be read later: a file, ranges of a file, memory. Small enough to travel between processes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
class _LocalBlob:
    path: Path
    remote: bool = field(default=False, init=False)

    @property
    def version(self) -> str:
        """Path, size and modification time of the file."""
        with self._errors():
            stat = self.path.stat()
            return f"{self.path.resolve()} {stat.st_size} {stat.st_mtime_ns}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.", file=str(self.path)) from error


@dataclass(frozen=True)
class FileBlob(_LocalBlob):
    """A whole file; DataError for a device or a pipe."""

    @property
    def name(self) -> str:
        """The path as it was given."""
        return str(self.path)

    def read(self) -> bytes:
        """The file's bytes."""
        with self._errors():
            if not self.path.is_file() and self.path.exists():
                raise DataError(f"{self.path} is no file.", file=self.name)
            return self.path.read_bytes()


@dataclass(frozen=True)
class FileRangesBlob(_LocalBlob):
    """Ranges of a file, (offset, length) in bytes each, put together by `join`."""

    name: str
    ranges: tuple[tuple[int, int], ...]
    join: Callable[[Sequence[bytes]], bytes]

    def read(self) -> bytes:
        """The joined bytes; DataError where the file has become shorter."""
        parts = []
        with self._errors(), self.path.open("rb") as stream:
            for offset, length in self.ranges:
                stream.seek(offset)
                parts.append(stream.read(length))
                if len(parts[-1]) < length:
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
