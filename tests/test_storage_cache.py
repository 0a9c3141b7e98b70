import multiprocessing
import os
import time
from pathlib import Path

import pytest

from segwright.errors import DataError, UserError
from segwright.storage import Cache


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


def test_what_was_used_longest_ago_leaves_first(cache: Cache) -> None:
    for index in range(12):
        cache.get(str(index), lambda: bytes(100))
        for age, path in enumerate(cache.folder.iterdir()):
            assert age >= 0 and path.is_file()
    now = time.time()
    for index in range(12):
        cache.get(str(index), lambda: b"")
        newest = max(cache.folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (now + index, now + index))
    cache.clear()
    assert size(cache.folder) == 900
    cache.get("11", lambda: pytest.fail("the newest is still there"))


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
