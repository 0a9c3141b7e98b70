"""Fetched bytes kept on the disk, up to a limit, for this and every other process that names the same folder.

Knows file names, ages and sizes. Refuses to know where bytes come from: whoever asks brings the function that fetches
them. A file takes its name only when it is written, and carries its length and a checksum, so that readers need no lock
and what a power cut left behind is fetched anew. Only files of the cache's own names are ever removed.
"""

import hashlib
import os
import re
import secrets
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segwright.errors import UserError

_CLEAR_EVERY: Final = 64
"""One write in so many looks whether the limit is passed, so that large caches are not listed all the time."""

_CLEAR_TO: Final = 0.9  # of the limit
_OWN_NAME: Final = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{16}\.partial")
_HEADER: Final = struct.Struct("<QI")  # length and CRC-32 of what follows


@dataclass(frozen=True)
class Cache:
    """A folder of fetched bytes."""

    folder: Path
    limit: int
    """Bytes that it may hold. It is passed by what is fetched between two looks, on average 64 files a process."""

    def get(self, key: str, fetch: Callable[[], bytes]) -> bytes:
        """The bytes of `key`: from the folder, else fetched and kept. Raises what `fetch` raises, and nothing else.

        A folder that is gone, closed or on a full disk only means that nothing more is kept.
        """
        file = self.folder / hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        with suppress(OSError):
            kept = _unpacked(file.read_bytes())
            if kept is not None:
                with suppress(OSError):  # somebody else's file, perhaps
                    os.utime(file)
                return kept
        data = fetch()
        self._keep(file, data)
        return data

    def prepare(self) -> None:
        """Make the folder. Raises UserError where that cannot be done."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self._temporary()
            probe.write_bytes(b"0")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"the cache {self.folder} cannot be written: {error.strerror}. Name another one."
            ) from error

    def _keep(self, file: Path, data: bytes) -> None:
        temporary = self._temporary()
        try:
            temporary.write_bytes(_HEADER.pack(len(data), zlib.crc32(data)) + data)
            temporary.replace(file)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        if secrets.randbelow(_CLEAR_EVERY) == 0:
            self.clear()

    def _temporary(self) -> Path:
        return self.folder / f".{secrets.token_hex(8)}.partial"

    def clear(self) -> None:
        """Remove what was not used for longest until the limit holds again.

        A file that is gone already, or a folder that may not be listed, is no fault.
        """
        entries = []
        for file in self._files():
            with suppress(OSError):
                facts = file.stat()
                entries.append((facts.st_mtime, facts.st_size, file))
        total = sum(size for _, size, _ in entries)
        if total <= self.limit:
            return
        for _, size, file in sorted(entries):
            if total <= _CLEAR_TO * self.limit:
                return
            with suppress(OSError):
                file.unlink()
            total -= size

    def _files(self) -> list[Path]:
        """What is in the folder by names of the cache's own, as far as the folder may be listed."""
        with suppress(OSError):
            return [file for file in self.folder.iterdir() if _OWN_NAME.fullmatch(file.name)]
        return []


def _unpacked(stored: bytes) -> bytes | None:
    """The bytes of a kept file, or None where it is damaged."""
    if len(stored) < _HEADER.size:
        return None
    length, checksum = _HEADER.unpack_from(stored)
    data = stored[_HEADER.size :]
    return data if len(data) == length and zlib.crc32(data) == checksum else None
