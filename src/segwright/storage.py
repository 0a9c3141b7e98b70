"""Writing files and folders aside, so that a reader sees the old one or the new one, never half of one.

Knows temporary names, fsync and rename. Refuses to know what is written.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segwright.errors import OutputExistsError


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write a file to; it is named `path` when the block succeeds.

    The folder is made where it is missing, the bytes are on the disk before the name changes, and a file that
    was there is replaced. When the block raises (Ctrl-C included) the temporary file is removed and the old
    one stays.
    """
    target = path.resolve()  # through a symbolic link, so that the link itself survives
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(target)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` aside."""
    with write_aside(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, aside. ValueError for NaN and infinity, which JSON does not
    have.
    """
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def refuse_existing(path: Path, overwrite: bool, marker: str | None = None) -> None:
    """Raise OutputExistsError when `path` exists and may not be overwritten; an empty folder may always be
    used.

    Where a whole folder would be replaced, `marker` names the file that shows it to be one of ours: without
    it the folder is refused even with `overwrite`, because it may be somebody's home.
    """
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise OutputExistsError(f"{path} exists already. Choose another output, or add --overwrite to replace it.")
    if marker is not None and not (path / marker).is_file():
        raise OutputExistsError(
            f"{path} would be replaced as a whole, but it has no {marker}, so it holds something else. "
            "Choose another output, or remove it yourself."
        )


@contextmanager
def directory_aside(path: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yield a temporary folder beside `path` to fill; it takes the name `path` when the block succeeds.

    What was at `path` is moved out just before and removed just after, and comes back when the renaming
    fails. When the block raises (Ctrl-C included) the temporary folder is removed. Raises OutputExistsError
    as `refuse_existing` does, before the block is entered.
    """
    refuse_existing(path, overwrite, marker)
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(target)
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        _exchange(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(target.parent)


def _exchange(new: Path, target: Path) -> None:
    """Give `new` the name `target`; what had it is removed afterwards, or put back when that fails."""
    if not os.path.lexists(target):
        new.replace(target)
        return
    old = _temporary_name(target)
    target.replace(old)
    try:
        new.replace(target)
    except BaseException:
        old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _temporary_name(target: Path) -> Path:
    """A free hidden name beside `target`, of the same suffix because some writers look at it."""
    return target.with_name(f".{secrets.token_hex(6)}.partial{target.suffix}")


def _sync(file: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_tree(folder: Path) -> None:
    """Wait until every file below a folder is on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)
        elif path.is_dir():
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that (Windows cannot)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
