"""What this process may use of the machine: cores, memory, and a folder for temporary files.

Knows affinity and Linux's control groups, both versions. Elsewhere less is known.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from segwright.errors import UserError

_GROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_SHARED_MEMORY: Final = Path("/dev/shm")
_MEMORY_FILES: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Limit, usage and, in memory.stat, the pages that only cache files; version 2, then version 1."""


def available_cores() -> int:
    """Cores that this process may use, by affinity and by the quota of its control groups; at least 1."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quotas = (_cpu_quota(group) for group in _control_groups("cpu"))
    return max(min([cores, *(round(quota) for quota in quotas if quota is not None)]), 1)


def available_memory() -> int | None:
    """Bytes that this process can still allocate on the host, or None where that is not known."""
    amounts = [_free_memory(), *(_memory_left(group) for group in _control_groups("memory"))]
    return min((amount for amount in amounts if amount is not None), default=None)


def ensure_temporary_folder() -> None:
    """Use shared memory for temporary files where no usual folder can be written to: a read-only root file system.

    Child processes use it as well. Raises UserError where that cannot be written to either.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        if not os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
            raise UserError(
                "no folder for temporary files can be written to: mount one at /tmp, as with "
                "`docker run --read-only --tmpfs /tmp`, or name one with the variable TMPDIR"
            ) from None
        os.environ["TMPDIR"] = str(_SHARED_MEMORY)


def _control_groups(controller: str) -> Iterator[Path]:
    """The folder of this process's control group and those above it, whose limits hold as well, in both versions.

    A container often sees its own group as the root, but its path on the host: folders that do not exist are passed
    over when they are read.
    """
    for line in _read(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        inner = PurePosixPath(path.lstrip("/"))
        root = _GROUPS / controller if controllers else _GROUPS
        yield from (root / folder for folder in (inner, *inner.parents) if ".." not in folder.parts)
    yield from (_GROUPS, _GROUPS / controller)


def _cpu_quota(group: Path) -> float | None:
    """Cores by the quota of one control group, or None where it has none."""
    words = _read(group / "cpu.max").split() or [
        _read(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    ]
    return int(words[0]) / int(words[1]) if all(word.isdecimal() for word in words) else None


def _memory_left(group: Path) -> int | None:
    """What one control group may still take; pages that only cache files are free for the taking."""
    for limit, usage, cached in _MEMORY_FILES:
        allowed, used = _read(group / limit).strip(), _read(group / usage).strip()
        if allowed.isdecimal() and used.isdecimal():
            counts = dict(line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines())
            return max(int(allowed) - int(used) + int(counts.get(cached, 0)), 0)
    return None


def _free_memory() -> int | None:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
