import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from segwright.errors import DataError, UserError
from segwright.storage import Cache
from segwright.storage import cache as module


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache", limit=1000)
    cache.prepare()
    return cache


def test_bytes_are_fetched_once(cache: Cache) -> None:
    calls: list[str] = []

    def fetch() -> bytes:
        calls.append("fetched")
        return b"data"

    assert [cache.get("a", fetch) for _ in range(3)] == [b"data"] * 3
    assert calls == ["fetched"] and cache.get("b", lambda: b"other") == b"other"


def test_what_is_not_fetched_is_not_kept(cache: Cache) -> None:
    def fail() -> bytes:
        raise DataError("gone")

    with pytest.raises(DataError):
        cache.get("a", fail)
    assert cache.get("a", lambda: b"there now") == b"there now"


def age(cache: Cache, key: str, seconds: float) -> None:
    """Make a kept file as old as that."""
    file = cache.folder / hashlib.sha256(key.encode()).hexdigest()
    os.utime(file, (time.time() - seconds,) * 2)


def test_what_was_used_longest_ago_leaves_first(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLEAR_EVERY", 10**9)
    for index in range(12):
        cache.get(str(index), lambda: bytes(88))  # 100 with the header
        age(cache, str(index), 1000 - index)
    cache.get("0", lambda: pytest.fail("it is there, and is used now"))
    cache.clear()
    assert size(cache.folder) == 900
    for key in ("0", "4", "11"):
        cache.get(key, lambda: pytest.fail("it was used lately"))
    assert cache.get("3", lambda: b"again") == b"again"


def test_files_of_others_are_left_alone(cache: Cache) -> None:
    (cache.folder / "thesis.txt").write_bytes(bytes(5000))
    cache.get("a", lambda: bytes(88))
    cache.clear()
    assert {path.name == "thesis.txt" for path in cache.folder.iterdir()} == {True, False}


@pytest.mark.parametrize("damage", [b"", b"short", bytes(100)])
def test_a_damaged_file_is_fetched_anew(cache: Cache, damage: bytes) -> None:
    cache.get("a", lambda: b"data")
    (kept,) = cache.folder.iterdir()
    kept.write_bytes(damage)
    assert cache.get("a", lambda: b"fresh") == b"fresh"
    assert cache.get("a", lambda: pytest.fail("it is kept again")) == b"fresh"


def test_what_may_be_read_but_not_touched_is_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.get("a", lambda: b"data")

    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", denied)
    assert cache.get("a", lambda: pytest.fail("it is there")) == b"data"


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        Cache(tmp_path / "file", 10).prepare()


def test_a_full_disk_only_means_that_nothing_is_kept(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert cache.get("a", lambda: b"data") == b"data"
    assert list(cache.folder.iterdir()) == []


@pytest.mark.parametrize("at", ["iterdir", "stat", "unlink", "read_bytes", "replace"])
def test_a_folder_that_fails_never_fails_a_read(cache: Cache, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    monkeypatch.setattr(module, "_CLEAR_EVERY", 1)
    for index in range(20):
        cache.get(f"before {index}", lambda: bytes(100))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, at, denied)
    for index in range(20):
        assert cache.get(f"{index}", lambda: b"data" * 100) == b"data" * 100


def test_a_folder_that_is_gone_never_fails_a_read(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLEAR_EVERY", 1)
    cache.folder.rmdir()
    assert cache.get("a", lambda: b"data") == b"data"
    cache.clear()


def hammer(cache: Cache, seed: int) -> None:
    for index in range(200):
        key = str((index * 7 + seed) % 20)
        assert cache.get(key, lambda key=key: key.encode() * 50) == key.encode() * 50  # type: ignore[misc]
        if index % 10 == seed:
            cache.clear()


def test_several_processes_share_one_folder(cache: Cache) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=hammer, args=(cache, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    cache.clear()
    assert size(cache.folder) <= cache.limit
