"""Archives of models, `model.tar.gz`, unpacked into a folder that nothing can leave.

Knows tar, plain or in gzip, and what strangers may put into one. Refuses to know what the files are.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from segwright.errors import UserError
from segwright.storage.safe_names import path_below

MAX_UNPACKED: Final = 16 << 30
"""Bytes that the archive of a model may unpack to: two files of the largest backbones with room to spare."""

MAX_MEMBERS: Final = 10_000
"""Files and folders that an archive may hold; a model has a handful."""

_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20  # bytes read at once; tarfile takes files in smaller pieces, and headers have no such size
_DAMAGED: Final = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, OverflowError, RecursionError)


def unpack_archive(archive: Path, folder: Path, *, limit: int) -> None:
    """Unpack the files of a .tar or .tar.gz, with nothing but their names and bytes, into `folder`, which has to exist.

    `limit` is the number of bytes that its files may have together; it is held to before they are written. Raises
    UserError for links, devices and names that lead out of the folder (naming the member), for what passes the limit,
    and for an archive that is damaged, cut off or none. What was unpacked until then stays.
    """
    try:
        with _opened(archive, limit) as stream, tarfile.open(fileobj=stream, mode="r:") as members:
            total = 0
            for number, member in enumerate(members):
                _check_unsafe(member, archive, folder)
                total += member.size
                if total > limit or number >= MAX_MEMBERS:
                    raise _too_large(archive, limit)
                members.extract(member, folder, set_attrs=False, filter="data")
            stream.finish()
    except _DAMAGED as error:
        raise UserError(
            f"{archive} cannot be unpacked: it is no .tar or .tar.gz, is damaged or was cut off ({error}). "
            "Fetch or make it anew."
        ) from error
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked into {folder}: {error.strerror or error}.") from error


class _Bounded(io.RawIOBase):
    """A stream of a tar's bytes, as `tarfile` reads it, that refuses what no honest archive makes it do."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, archive: Path, limit: int) -> None:
        self._stream, self._archive, self._limit = stream, archive, limit
        self._latest = b""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a byte."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """The byte that comes next."""
        return self._stream.tell()

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or as many as there are; UserError where a header claims to be of a size that none has."""
        if not 0 <= size <= _CHUNK:
            raise UserError(f"{self._archive} is damaged: it has a header of {size:,} bytes. Fetch or make it anew.")
        self._latest = self._stream.read(size)
        return self._latest

    def finish(self) -> None:
        """Read what follows the last member, so that gzip looks at its checksum: nothing but zeros are right."""
        beyond = 0
        while not self._latest.strip(b"\0"):
            beyond += len(self._latest)
            if beyond > self._limit:
                raise _too_large(self._archive, self._limit)
            if not self.read(_CHUNK):
                return
        raise tarfile.ReadError(f"something that is no member stands at byte {self.tell():,}")


@contextmanager
def _opened(archive: Path, limit: int) -> Iterator[_Bounded]:
    with archive.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not packed:
            yield _Bounded(file, archive, limit)
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield _Bounded(unpacked, archive, limit)


def _check_unsafe(member: tarfile.TarInfo, archive: Path, folder: Path) -> None:
    try:
        if member.issparse() or not (member.isfile() or member.isdir()):
            raise UserError("it is a link, a device or another thing that is neither file nor folder.")
        if member.size < 0:
            raise UserError(f"it has a size of {member.size} bytes.")
        name = PurePosixPath(member.name).as_posix()  # archives of a folder begin with ./, which means nothing
        if name != ".":
            path_below(folder, name)
    except UserError as error:
        raise UserError(
            f"{archive}: the member {member.name!r} is not unpacked: {error} Nothing like it belongs into the archive "
            "of a model: do not trust this one."
        ) from None


def _too_large(archive: Path, limit: int) -> UserError:
    return UserError(
        f"{archive} would unpack to more than {limit:,} bytes or {MAX_MEMBERS:,} files, which no model has: do not "
        "trust it."
    )
