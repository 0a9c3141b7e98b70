"""Fetched bytes kept on the disk, up to a limit, for this and every other process that names the same folder.

Knows file names, ages and sizes. Refuses to know where bytes come from: whoever asks brings the function that fetches
them. A file appears under its name only when it is whole, so readers need no lock; one process at a time clears away
what was not used for longest.
"""

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segwright.errors import UserError

_CLEAR_EVERY: Final = 64
"""One write in so many looks whether the limit is passed, so that large caches are not listed all the time."""

_CLEAR_TO: Final = 0.9  # of the limit


@dataclass(frozen=True)
class Cache:
    """A folder of fetched bytes."""

    folder: Path
    limit: int
    """Bytes that it may hold. It is passed by what is fetched between two looks, 64 files for each process."""

    def get(self, key: str, fetch: Callable[[], bytes]) -> bytes:
        """The bytes of `key`: from the folder, else fetched and kept. Raises what `fetch` raises.

        A folder that cannot be written to is a UserError; a full disk only means that nothing more is kept.
        """
        file = self.folder / hashlib.sha256(key.encode()).hexdigest()
        with suppress(OSError):
            data = file.read_bytes()
            os.utime(file)
            return data
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
            temporary.write_bytes(data)
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
        """Remove what was not used for longest until the limit holds again; a file that is gone already is no fault."""
        entries = []
        for file in self.folder.iterdir():
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
