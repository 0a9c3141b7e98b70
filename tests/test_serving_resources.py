import resource
import sys
from pathlib import Path

import pytest
import torch

from segwright.serving import resources as machine

CPU = torch.device("cpu")


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
