"""Files and folders that appear whole: written under a temporary name, synced, renamed."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from segwright.errors import OutputExistsError, UserError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write a file to; it is renamed to `path` when the block succeeds.

    Creates missing folders. When the block raises (Ctrl-C included) the old file stays, and an OSError that names no
    file, or the temporary one, names `path` instead.
    """
    target = path.resolve()  # through a symbolic link, so that the link survives
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(target.parent, target.suffix)  # some writers look at the suffix
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name_output(error, temporary, path)
        raise
    _sync(target.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically. Raises ValueError for NaN and infinity."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def check_replaceable(path: Path, overwrite: bool, marker: str | None = None) -> None:
    """Raise OutputExistsError when `path` exists and may not be overwritten; an empty folder may always be used. A
    folder without the file `marker` is refused even with `overwrite`, because it may be a home directory.
    """
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise OutputExistsError(f"{path} exists already. Choose another output, or replace it with overwrite.")
    if marker is not None and not (path / marker).is_file():
        raise OutputExistsError(
            f"{path} would be replaced as a whole, but it has no {marker}, so it holds something else. "
            "Choose another output, or remove it yourself."
        )


def check_writable_file(path: Path) -> None:
    """Raise UserError when no file can be written to `path`; creates the folders above it."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the path of a file to write.")
    check_writable(path.resolve().parent, path)


def check_writable_folder(path: Path) -> None:
    """Raise UserError when `atomic_directory` could not write to `path`; creates the folders above it."""
    target = path.resolve()
    if target.is_file():
        raise UserError(f"{path} is a file; give the path of a folder to write.")
    check_writable(target if target.is_dir() else target.parent, path)


def check_writable(folder: Path, output: object) -> None:
    """Create a folder. Raises UserError, which names `output`, where no file can be written to it."""
    probe = temporary_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"0")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {folder}: {error.strerror}. Make it writable, or choose another path."
        ) from error


@contextmanager
def atomic_directory(path: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yield a temporary folder to fill; its contents are at `path` when the block succeeds.

    Where `path` exists, contents are exchanged: a mount point or the current directory cannot be renamed. Failures are
    as in `atomic_file`. Raises OutputExistsError as `check_replaceable` does, before the block is entered.
    """
    check_replaceable(path, overwrite, marker)
    target = path.resolve()
    exists = target.is_dir()
    temporary = temporary_path(target if exists else target.parent)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for entry in (*temporary.rglob("*"), temporary):
            _sync(entry)
        if exists:
            _exchange_contents(temporary, target, marker)
        else:
            temporary.replace(target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _name_output(error, temporary, path)
        raise
    _sync(target if exists else target.parent)


def _exchange_contents(new: Path, target: Path, marker: str) -> None:
    """Move the entries of `new` up to `target`; the old ones are removed afterwards, or moved back on failure. The
    marker leaves first and arrives last, so that a folder that has it is whole.
    """
    old = temporary_path(target)
    leaving = sorted(set(target.iterdir()) - {new}, key=lambda entry: entry.name != marker)
    arriving = sorted(new.iterdir(), key=lambda entry: entry.name == marker)
    moves = [(entry, old / entry.name) for entry in leaving] + [(entry, target / entry.name) for entry in arriving]
    old.mkdir()
    try:
        for source, destination in moves:
            source.replace(destination)
    except BaseException:
        for source, destination in reversed(moves):
            if os.path.lexists(destination) and not os.path.lexists(source):
                destination.replace(source)
        old.rmdir()
        raise
    new.rmdir()
    shutil.rmtree(old, ignore_errors=True)


def temporary_path(folder: Path, suffix: str = "") -> Path:
    """A new hidden name in a folder."""
    return folder / f".{secrets.token_hex(8)}.partial{suffix}"


def _name_output(error: BaseException, temporary: Path, output: Path) -> None:
    """Let an OSError name the user's output: that of a full disk names no file."""
    if isinstance(error, OSError) and error.errno and str(error.filename or temporary).startswith(str(temporary)):
        error.filename = str(output)


def _sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder where the system supports it, are on the disk."""
    is_folder = path.is_dir()
    with suppress(OSError) if is_folder else nullcontext():
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
