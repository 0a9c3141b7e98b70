import os
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest
import torch

from segwright import resources
from segwright.checks import scan
from segwright.devices import limit_threads
from segwright.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere less is known")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of the control groups, for a process that lies in none below it, on a machine of 64 cores."""
    monkeypatch.setattr(resources, "_GROUPS", tmp_path)
    monkeypatch.setattr(resources, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(64)))
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content + "\n")


def test_without_limits_the_machine_is_all_there_is(groups: Path) -> None:
    free = resources.available_memory()
    assert free is not None and free > 1 << 20
    write(groups, memory__max="max", memory__current="1000", cpu__max="max 100000")
    again = resources.available_memory()
    assert again is not None and again > 1 << 20
    assert resources.available_cores() == 64


def test_a_container_has_what_its_group_leaves(groups: Path) -> None:
    write(groups, memory__max="5000", memory__current="4000", memory__stat="anon 2500\ninactive_file 1500")
    write(groups, cpu__max="200000 100000")
    assert resources.available_memory() == 2500
    assert resources.available_cores() == 2


def test_the_older_groups_are_read_as_well(groups: Path) -> None:
    write(groups / "memory", memory__limit_in_bytes="5000", memory__usage_in_bytes="4000")
    write(groups / "memory", memory__stat="cache 7\ntotal_inactive_file 500")
    write(groups / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert resources.available_memory() == 1500
    assert resources.available_cores() == 64
    write(groups / "cpu", cpu__cfs_quota_us="300000")
    assert resources.available_cores() == 3


@pytest.mark.parametrize(
    ("membership", "group"),
    [("0::/system.slice/job.scope", "system.slice"), ("5:cpu,cpuacct:/docker/ab\n0::/", "cpu/docker/ab")],
)
def test_limits_of_the_own_group_and_of_those_above_hold(groups: Path, membership: str, group: str) -> None:
    write(groups, membership=membership)
    write(groups / group, cpu__max="400000 100000", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    assert resources.available_cores() == 4
    write(groups, cpu__max="100000 100000")
    assert resources.available_cores() == 1


def test_a_group_known_by_its_path_on_the_host_only_is_passed_over(groups: Path) -> None:
    write(groups, membership="3:cpu:/docker/0123\n0::/../../else")
    write(groups / "cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert resources.available_cores() == 1


def test_threads_and_readers_are_no_more_than_the_quota(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(groups, cpu__max="200000 100000")
    threads, made = [64], list[int]()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[0])
    monkeypatch.setattr(torch, "set_num_threads", made.append)
    monkeypatch.setattr(cv2, "getNumThreads", lambda: 64)
    of_opencv = list[int]()
    monkeypatch.setattr(cv2, "setNumThreads", of_opencv.append)
    limit_threads()
    limit_threads(2)
    limit_threads(5)
    threads[0] = 1  # OMP_NUM_THREADS, perhaps
    limit_threads()
    assert made == [2, 1, 1, 1]
    assert of_opencv == [2, 1, 1, 2]

    def pool(max_workers: int) -> ThreadPoolExecutor:
        made.append(max_workers)
        return ThreadPoolExecutor(max_workers)

    monkeypatch.setattr(scan, "ThreadPoolExecutor", pool)
    assert list(scan.scan_pairs([])) == []
    assert made[-1] == 2


def test_shared_memory_takes_temporary_files_where_nothing_else_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setenv("TMPDIR", "unchanged")
    resources.ensure_temporary_folder()
    assert os.environ["TMPDIR"] == "unchanged"
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(resources, "_SHARED_MEMORY", tmp_path)
    resources.ensure_temporary_folder()
    assert os.environ["TMPDIR"] == str(tmp_path)
    monkeypatch.setattr(resources, "_SHARED_MEMORY", tmp_path / "absent")
    with pytest.raises(UserError, match="--tmpfs /tmp"):
        resources.ensure_temporary_folder()


COUNT_FAULTS = """
import resource, sys
import numpy as np
from segwright.resources import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 26, np.uint8)
before = faults()
for _ in range(4):
    np.ones(1 << 26, np.uint8)
print(faults() - before)
"""


def test_memory_that_was_freed_needs_no_new_pages() -> None:
    def faults(mode: str) -> int:
        done = subprocess.run([sys.executable, "-c", COUNT_FAULTS, mode], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < faults("leave") / 10


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] // 2, before[1]))
    try:
        resources.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_freed_memory_goes_back() -> None:
    pieces = [bytes(60_000) for _ in range(2000)]  # small enough to lie in the heap, which has holes when most are gone
    pieces.append(pieces)  # type: ignore[arg-type]  # and nobody but the collector sees that they are
    last = pieces[-2]
    held = resident()
    del pieces
    resources.return_freed_memory()
    assert held - resident() > 60 << 20 and last


def test_memory_of_sizes_is_bounded_unless_the_environment_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_libc", lambda _function: None)  # this process stays as it is
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    resources.bound_memory_of_sizes()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    resources.bound_memory_of_sizes()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "256"


def resident() -> int:
    """Bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
