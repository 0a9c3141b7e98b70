"""Model archives (`model.tar.gz`), unpacked into a folder that no member can leave."""

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from segwright.errors import UserError
from segwright.storage.safe_names import path_below

MAX_UNPACKED: Final = 16 << 30
"""Bytes that a model archive may unpack to: two files of the largest backbones with room to spare."""

MAX_MEMBERS: Final = 10_000  # files and folders in an archive; a model has a handful
_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20  # bytes; tarfile reads files in smaller pieces, and no honest header is so large
_DAMAGED: Final = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, OverflowError, RecursionError)


def unpack_archive(archive: Path, folder: Path, *, limit: int) -> None:
    """Unpack the files of a .tar or .tar.gz, names and bytes only, into an existing folder.

    Raises UserError for more than `limit` bytes of files, for links, devices and names that lead out of the folder, and
    for a damaged archive, all before the file in question is written; earlier ones stay.
    """
    try:
        with archive.open("rb") as file:
            opener = gzip.open if file.read(len(_GZIP)) == _GZIP else open
        total = 0
        with opener(archive, "rb") as unzipped:
            stream = _BoundedReader(cast(IO[bytes], unzipped), archive, limit)
            members = tarfile.TarFile(fileobj=cast(IO[bytes], stream))
            for number, member in enumerate(members):
                _check_member(member, archive, folder)
                total += member.size
                if total > limit or number >= MAX_MEMBERS:
                    raise _too_large(archive, limit)
                members.extract(member, folder, set_attrs=False, filter="data")
            stream.finish()
    except _DAMAGED as error:
        raise UserError(
            f"{archive} cannot be unpacked: it is no .tar or .tar.gz, is damaged or was cut off ({error}). "
            "Download or create it again."
        ) from error
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked into {folder}: {error.strerror or error}.") from error


class _BoundedReader:
    """The bytes of a tar for `tarfile`, which would read a header of any size into memory."""

    def __init__(self, stream: IO[bytes], archive: Path, limit: int) -> None:
        self.seek, self.tell = stream.seek, stream.tell
        self._stream, self._archive, self._limit, self._latest = stream, archive, limit, b""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes. UserError for more than any honest header has."""
        if not 0 <= size <= _CHUNK:
            raise UserError(f"{self._archive} is damaged: it has a header of {size:,} bytes. Download it again.")
        self._latest = self._stream.read(size)
        return self._latest

    def finish(self) -> None:
        """Read what follows the last member, so that gzip verifies its checksum; only zeros may follow."""
        beyond = 0
        while not self._latest.strip(b"\0"):
            beyond += len(self._latest)
            if beyond > self._limit:
                raise _too_large(self._archive, self._limit)
            if not self.read(_CHUNK):
                return
        raise tarfile.ReadError(f"something that is no member stands at byte {self.tell():,}")


def _check_member(member: tarfile.TarInfo, archive: Path, folder: Path) -> None:
    try:
        if member.issparse() or not (member.isfile() or member.isdir()):
            raise UserError("it is a link, a device or another thing that is neither file nor folder.")
        if member.size < 0:
            raise UserError(f"it has a size of {member.size} bytes.")
        name = PurePosixPath(member.name).as_posix()  # archives of a folder begin with ./
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
