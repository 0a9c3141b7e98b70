"""Writing files and folders aside, so that a reader sees the old one or the new one, never half of one.

Knows temporary names, fsync and rename. Refuses to know what is written.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segwright.errors import OutputExistsError, UserError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write a file to; it is named `path` when the block succeeds.

    The folder is made where it is missing, the bytes are on the disk before the name changes, and a file that
    was there is replaced. When the block raises (Ctrl-C included) the temporary file is removed and the old
    one stays. An OSError that names no file, or the temporary one, names `path` instead.
    """
    target = path.resolve()  # through a symbolic link, so that the link itself survives
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden_name(target.parent, target.suffix)  # of the same suffix because some writers look at it
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name_output(error, temporary, path)
        raise
    _sync_folder(target.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` aside."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, aside. ValueError for NaN and infinity, which JSON does not
    have.
    """
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def check_replaceable(path: Path, overwrite: bool, marker: str | None = None) -> None:
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


def check_writable_file(path: Path) -> None:
    """Raise UserError when no file can be written to `path`; makes the folders above it."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the path of a file to write.")
    _try_to_write(path.resolve().parent, path)


def check_writable_folder(path: Path) -> None:
    """Raise UserError when `atomic_directory` could not write to `path`; makes the folders above it."""
    target = path.resolve()
    if target.is_file():
        raise UserError(f"{path} is a file; give the path of a folder to write.")
    _try_to_write(target if target.is_dir() else target.parent, path)


def _try_to_write(folder: Path, output: Path) -> None:
    probe = _hidden_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"0")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {folder}: {error.strerror}. Make it writable, or choose another output."
        ) from error


@contextmanager
def atomic_directory(path: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yield a temporary folder to fill; what it holds is at `path` when the block succeeds.

    Where `path` does not exist, the temporary folder lies beside it and takes its name. Where it exists, the
    temporary folder lies in it and the contents are exchanged: the folder itself may be a mount point or the
    current directory, which cannot be renamed. When anything fails (Ctrl-C included) the temporary folder is
    removed and the old contents are there again; an OSError that names no file, or one in the temporary folder,
    names `path` instead. Raises OutputExistsError as `check_replaceable` does, before the block is entered.
    """
    check_replaceable(path, overwrite, marker)
    target = path.resolve()
    exists = target.is_dir()
    temporary = _hidden_name(target if exists else target.parent)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _sync_tree(temporary)
        if exists:
            _exchange_contents(temporary, target, marker)
        else:
            temporary.replace(target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _name_output(error, temporary, path)
        raise
    _sync_folder(target if exists else target.parent)


def _exchange_contents(new: Path, target: Path, marker: str) -> None:
    """Move the entries of `new` up to `target`; what was there is removed afterwards, or put back on failure.

    The marker leaves first and arrives last, so that a folder that has it is whole.
    """
    old = _hidden_name(target)
    leaving = sorted(set(target.iterdir()) - {new}, key=lambda entry: entry.name != marker)
    arriving = sorted(new.iterdir(), key=lambda entry: entry.name == marker)
    moves = [(entry, old / entry.name) for entry in leaving] + [(entry, target / entry.name) for entry in arriving]
    old.mkdir()
    try:
        for source, destination in moves:
            source.replace(destination)
    except BaseException:
        _move_back(moves)
        old.rmdir()
        raise
    new.rmdir()
    shutil.rmtree(old, ignore_errors=True)


def _move_back(moves: Sequence[tuple[Path, Path]]) -> None:
    """Undo those moves that were made, the last one first."""
    for source, destination in reversed(moves):
        if os.path.lexists(destination) and not os.path.lexists(source):
            destination.replace(source)


def _name_output(error: BaseException, temporary: Path, output: Path) -> None:
    """Let an error of the system name the output that the user knows: a full disk names nothing by itself."""
    if isinstance(error, OSError) and error.errno and str(error.filename or temporary).startswith(str(temporary)):
        error.filename = str(output)


def _hidden_name(folder: Path, suffix: str = "") -> Path:
    """A free hidden name in a folder."""
    return folder / f".{secrets.token_hex(6)}.partial{suffix}"


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
