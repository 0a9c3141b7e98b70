import resource
import sys
from pathlib import Path

import pytest
import torch

from segwright.serving import machine

CPU = torch.device("cpu")


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    (tmp_path / "memory").mkdir()
    (tmp_path / "cpu").mkdir()
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere less is known")
def test_without_limits_the_machine_is_all_there_is(group: Path) -> None:
    free = machine.available_memory(CPU)
    assert free is not None and free > 1 << 20
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1000\n")
    (group / "cpu.max").write_text("max 100000\n")
    again = machine.available_memory(CPU)
    assert again is not None and again > 1 << 20
    assert machine.available_cores() >= 1


def test_a_container_has_what_its_group_leaves(group: Path) -> None:
    (group / "memory.max").write_text("5000\n")
    (group / "memory.current").write_text("4000\n")
    (group / "memory.stat").write_text("anon 2500\ninactive_file 1500\n")
    (group / "cpu.max").write_text("40000 100000\n")
    assert machine.available_memory(CPU) == 2500
    assert machine.available_cores() == 1


def test_the_older_groups_are_read_as_well(group: Path) -> None:
    (group / "memory" / "memory.limit_in_bytes").write_text("5000\n")
    (group / "memory" / "memory.usage_in_bytes").write_text("4000\n")
    (group / "memory" / "memory.stat").write_text("cache 7\ntotal_inactive_file 500\n")
    (group / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert machine.available_memory(CPU) == 1500
    assert machine.available_cores() >= 1


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] // 2, before[1]))
    try:
        machine.allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(sys.platform != "linux", reason="what the process holds is read from /proc")
def test_freed_memory_goes_back() -> None:
    pieces = [bytes(60_000) for _ in range(2000)]  # small enough to lie in the heap, which has holes when most are gone
    pieces.append(pieces)  # type: ignore[arg-type]  # and nobody but the collector sees that they are
    last = pieces[-2]
    held = resident()
    del pieces
    machine.return_freed_memory(CPU)
    assert held - resident() > 60 << 20 and last


def resident() -> int:
    """Bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
