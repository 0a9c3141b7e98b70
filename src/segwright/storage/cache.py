"""Fetched bytes on disk up to a limit, shared by all processes that name the same folder.

A file is renamed into place with its length and checksum, so that readers need no lock and a damaged file is fetched
again. Only files with the cache's own names are ever removed.
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

from segwright.storage.atomic import check_writable, temporary_path

_CLEAR_EVERY: Final = 64  # writes, of which one checks the limit: a large cache is not listed all the time
_CLEAR_TO: Final = 0.9  # of the limit
_OWN_NAME: Final = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{16}\.partial")
_HEADER: Final = struct.Struct("<QI")  # length and CRC-32 of what follows


@dataclass(frozen=True)
class Cache:
    """A folder of fetched bytes."""

    folder: Path
    limit: int  # bytes; exceeded by what is written between two checks, on average 64 files a process

    def prepare(self) -> None:
        """Create the folder. Raises UserError where it cannot be written."""
        check_writable(self.folder, f"the cache {self.folder}")

    def get(self, key: str, fetch: Callable[[], bytes]) -> bytes:
        """The bytes of `key`: cached, or fetched and cached. Raises what `fetch` raises, and nothing else: where the
        folder is gone, closed or full, nothing is cached.
        """
        file = self.folder / hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        with suppress(OSError):
            stored = file.read_bytes()
            data = stored[_HEADER.size :]
            if stored.startswith(_header(data)):
                with suppress(OSError):  # another user's file
                    os.utime(file)
                return data
        data, temporary = fetch(), temporary_path(self.folder)
        try:
            temporary.write_bytes(_header(data) + data)
            temporary.replace(file)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        else:
            if secrets.randbelow(_CLEAR_EVERY) == 0:
                self.clear()
        return data

    def clear(self) -> None:
        """Remove the least recently used files until the limit holds. Files that are gone and a folder that cannot be
        listed are skipped.
        """
        found = []
        with suppress(OSError):
            for file in self.folder.iterdir():
                if _OWN_NAME.fullmatch(file.name):
                    with suppress(OSError):
                        stat = file.stat()
                        found.append((stat.st_mtime, stat.st_size, file))
        total = sum(size for _, size, _ in found)
        if total <= self.limit:
            return
        for _, size, file in sorted(found):
            if total <= _CLEAR_TO * self.limit:
                return
            with suppress(OSError):
                file.unlink()
            total -= size


def _header(data: bytes) -> bytes:
    return _HEADER.pack(len(data), zlib.crc32(data))
