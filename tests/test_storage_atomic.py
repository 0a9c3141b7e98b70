import errno
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from segwright.errors import OutputExistsError, UserError
from segwright.storage import (
    atomic_directory,
    atomic_file,
    check_replaceable,
    check_writable_file,
    check_writable_folder,
    write_bytes,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_json_are_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    write_bytes(path, b"old")
    write_json(path, {"name": "Straße", "n": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Straße", "n": 1}
    assert "Straße" in path.read_text(encoding="utf-8")
    assert names(path.parent) == ["a.json"]


def test_json_without_a_meaning_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))
    assert (tmp_path / "a.json").read_text() == "1\n"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_file_leaves_the_old_one_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(error), atomic_file(tmp_path / "a.bin") as aside:
        assert aside.parent == tmp_path and aside.suffix == ".bin" and aside.name.startswith(".")
        aside.write_bytes(b"half")
        raise error
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_bytes_are_synced_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    write_bytes(tmp_path / "a", b"1")
    assert events == ["file", "rename", "folder"]


def test_a_link_to_a_file_survives(tmp_path: Path) -> None:
    write_bytes(tmp_path / "real.txt", b"old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_bytes(tmp_path / "link.txt", b"new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_bytes() == b"new"


def test_long_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".png")
    write_bytes(path, b"1")
    assert path.read_bytes() == b"1"


def test_what_exists_is_refused_unless_it_is_an_empty_folder(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "nothing", overwrite=False)
    check_replaceable(tmp_path, overwrite=False)
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "file", tmp_path / "dangling"):
        with pytest.raises(OutputExistsError, match="overwrite"):
            check_replaceable(path, overwrite=False)
        check_replaceable(path, overwrite=True)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    with atomic_directory(target, overwrite=False, marker="old") as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "a").write_bytes(b"1")
        assert not target.exists()
    assert (target / "sub" / "a").read_bytes() == b"1"
    assert names(target.parent) == ["bundle"]


@pytest.mark.parametrize("old", ["folder", "empty folder"])
def test_what_was_there_is_replaced(tmp_path: Path, old: str) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    if old == "folder":
        (target / "old").touch()
    with atomic_directory(target, overwrite=True, marker="old") as aside:
        (aside / "new").touch()
    assert names(target) == ["new"] and names(tmp_path) == ["bundle"]


def test_a_full_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").touch()
    with (
        pytest.raises(OutputExistsError),
        atomic_directory(tmp_path / "bundle", overwrite=False, marker="old"),
    ):
        pytest.fail("the block was entered")
    assert names(tmp_path / "bundle") == ["old"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_folder_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").touch()
    with pytest.raises(error), atomic_directory(tmp_path / "bundle", overwrite=True, marker="old") as aside:
        (aside / "new").touch()
        raise error
    assert names(tmp_path / "bundle") == ["old"] and names(tmp_path) == ["bundle"]


def test_the_old_folder_comes_back_when_the_renaming_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    real, calls = Path.replace, []

    def replace(self: Path, where: Path) -> Path:
        calls.append(where)
        if len(calls) == 2:
            raise OSError("disk on fire")
        return real(self, where)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="fire"), atomic_directory(target, overwrite=True, marker="old") as aside:
        (aside / "new").touch()
    assert names(target) == ["old"] and names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_ours_is_never_replaced_as_a_whole(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "home"
    if kind == "file":
        target.write_bytes(b"letters")
    else:
        target.mkdir()
        (target / "letters").touch()
    check_replaceable(target, overwrite=True)
    with (
        pytest.raises(OutputExistsError, match=r"bundle\.json"),
        atomic_directory(target, overwrite=True, marker="bundle.json"),
    ):
        pytest.fail("the block was entered")
    assert target.is_file() if kind == "file" else names(target) == ["letters"]


@pytest.mark.parametrize("old", [(), ("marker", "z")])
def test_a_mount_point_is_filled_without_being_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: tuple[str, ...]
) -> None:
    target = tmp_path / "volume"
    target.mkdir()
    for name in old:
        (target / name).write_bytes(b"old")
    real, inode = Path.replace, target.stat().st_ino

    def replace(self: Path, where: Path) -> Path:
        if target in (self, Path(where)):
            raise OSError(errno.EBUSY, "Device or resource busy", str(target))
        return real(self, where)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "rename", replace)
    with atomic_directory(target, overwrite=True, marker="marker") as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "a").touch()
        (aside / "marker").write_bytes(b"new")
        assert {name for name in names(target) if not name.startswith(".")} == set(old)
    assert names(target) == ["marker", "sub"] and names(tmp_path) == ["volume"]
    assert (target / "marker").read_bytes() == b"new" and (target / "sub" / "a").exists()
    assert target.stat().st_ino == inode


def test_the_current_directory_can_be_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with atomic_directory(Path(), overwrite=False, marker="marker") as aside:
        (aside / "marker").touch()
    assert names(Path()) == ["marker"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("failing", range(5))
def test_old_contents_come_back_wherever_the_exchange_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: type[BaseException]
) -> None:
    for name in ("a", "marker"):
        (tmp_path / name).write_bytes(b"old")
    real, calls = Path.replace, []

    def replace(self: Path, where: Path) -> Path:
        calls.append(where)
        if len(calls) == failing + 1:
            raise error
        return real(self, where)

    with pytest.raises(error), atomic_directory(tmp_path, overwrite=True, marker="marker") as aside:
        for name in ("a", "b", "marker"):
            (aside / name).write_bytes(b"new")
        monkeypatch.setattr(Path, "replace", replace)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old", "marker": b"old"}


def test_a_folder_with_the_marker_is_whole_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ("a", "marker", "z")
    for name in everything:
        (tmp_path / name).write_bytes(b"old")
    real, seen = Path.replace, []

    def replace(self: Path, where: Path) -> Path:
        visible = [(tmp_path / name).read_bytes() for name in everything if (tmp_path / name).exists()]
        if (tmp_path / "marker").exists():
            seen.append(visible)
        return real(self, where)

    with atomic_directory(tmp_path, overwrite=True, marker="marker") as aside:
        for name in everything:
            (aside / name).write_bytes(b"new")
        monkeypatch.setattr(Path, "replace", replace)
    assert seen == [[b"old"] * 3]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"new"}


def test_a_writable_output_is_accepted_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_writable_folder(tmp_path / "empty")
    check_writable_folder(tmp_path / "deep" / "er" / "bundle")
    check_writable_file(tmp_path / "scores" / "a.json")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "deep",
        "deep/er",
        "empty",
        "scores",
    ]


@pytest.mark.parametrize("refuse", [check_writable_file, check_writable_folder])
@pytest.mark.parametrize("below", ["out", "deep/out"])
def test_an_output_below_a_file_is_refused(tmp_path: Path, refuse: Callable[[Path], None], below: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / below
    with pytest.raises(UserError, match=f"^{re.escape(str(path))} cannot be written: .*(File exists|Not a directory)"):
        refuse(path)


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    with pytest.raises(UserError, match="model is a file"):
        check_writable_folder(tmp_path / "model")


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        check_writable_file(tmp_path)


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    target = tmp_path / "bundle"
    place = target if exists else tmp_path
    place.mkdir(exist_ok=True)

    def write(self: Path, _: bytes) -> int:
        assert self.parent == place
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(UserError, match=rf"{re.escape(str(target))} cannot be written.*Read-only file system"):
        check_writable_folder(target)


@pytest.mark.parametrize("named", [True, False])
def test_an_error_of_the_system_names_the_output(tmp_path: Path, named: bool) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(OSError, match="No space left") as caught, atomic_file(path) as aside:
        raise OSError(errno.ENOSPC, "No space left", *([str(aside)] if named else []))
    assert caught.value.filename == str(path)
    folder = tmp_path / "bundle"
    with (
        pytest.raises(OSError, match="No space left") as caught,
        atomic_directory(folder, overwrite=False, marker="marker") as aside,
    ):
        raise OSError(errno.ENOSPC, "No space left", *([str(aside / "a")] if named else []))
    assert caught.value.filename == str(folder)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught, atomic_directory(tmp_path / "file" / "bundle", False, "marker"):
        pytest.fail("the block was entered")
    assert caught.value.filename == str(tmp_path / "file" / "bundle")
    with pytest.raises(FileNotFoundError) as caught, atomic_file(path):
        (tmp_path / "another").read_bytes()
    assert str(caught.value.filename) == str(tmp_path / "another")
