"""What the machine has left: memory, cores and open files, as a container sees them.

Knows Linux's control groups, both versions, and CUDA. Elsewhere less is known, and said so. Refuses to know models.
"""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch

_GROUPS: Final = Path("/sys/fs/cgroup")


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a device, or None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    known = [amount for amount in (_free_memory(), _allowance_left()) if amount is not None]
    return min(known, default=None)


def available_cores() -> int:
    """Cores that this process may use, by affinity and by the quota of its control group; at least 1."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = _cpu_quota()
    return max(min(cores, round(quota)), 1) if quota else cores


def allow_many_files() -> None:
    """Let this process open as many files and connections as it may: a container's soft limit is often 1,024."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # systems that do not let go up to their own limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def return_freed_memory(device: torch.device) -> None:
    """Give back to the system what was freed, so that others, and the next measurement, find it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _free_memory() -> int | None:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def _allowance_left() -> int | None:
    """What the control group may still take; pages that only cache files are free for the taking."""
    for limit, usage, statistics, cached in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        allowed, used = _read(_GROUPS / limit).strip(), _read(_GROUPS / usage).strip()
        if allowed.isdecimal() and used.isdecimal():
            counts = dict(line.split(maxsplit=1) for line in _read(_GROUPS / statistics).splitlines())
            return max(int(allowed) - int(used) + int(counts.get(cached, 0)), 0)
    return None


def _cpu_quota() -> float | None:
    """Cores by the quota of the control group, or None where it has none."""
    words = _read(_GROUPS / "cpu.max").split() or [
        _read(_GROUPS / "cpu" / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    ]
    return int(words[0]) / int(words[1]) if all(word.isdecimal() for word in words) else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
