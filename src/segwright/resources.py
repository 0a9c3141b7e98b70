"""Cores, memory, open files and temporary folder of this process, by affinity and Linux's control groups."""

import ctypes
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final

from segwright.errors import UserError

_GROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_SHARED_MEMORY: Final = Path("/dev/shm")
_MEMORY_FILES: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Limit, usage and, in memory.stat, the pages that only cache files; version 2, then version 1."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX, _NEVER = -1, -4, -8, 2**31 - 1  # of malloc.h


def available_cores() -> int:
    """Cores that this process may use, by affinity and by the quota of its control groups; at least 1."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for group in _control_groups("cpu"):
        quota = _read(group / "cpu.max").split()
        quota = quota or [_read(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
        if all(word.isdecimal() for word in quota):
            cores = min(cores, round(int(quota[0]) / int(quota[1])))
    return max(cores, 1)


def available_memory() -> int | None:
    """Bytes that this process can still allocate on the host, or None where that is unknown.

    Pages that only cache files count as free.
    """
    lines = _read(Path("/proc/meminfo")).splitlines()
    amounts = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    for group in _control_groups("memory"):
        for limit, usage, cached in _MEMORY_FILES:
            allowed, used = _read(group / limit).strip(), _read(group / usage).strip()
            if allowed.isdecimal() and used.isdecimal():
                counts = dict(line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines())
                amounts.append(max(int(allowed) - int(used) + int(counts.get(cached, 0)), 0))
                break
    return min(amounts, default=None)


def _control_groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those above it, whose limits hold as well, in both versions.

    A container often sees its own group as the root, but its path on the host: some folders do not exist.
    """
    for line in _read(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        inner = PurePosixPath(path.lstrip("/"))
        root = _GROUPS / controller if controllers else _GROUPS
        yield from (root / folder for folder in (inner, *inner.parents) if ".." not in folder.parts)
    yield from (_GROUPS, _GROUPS / controller)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def ensure_temporary_folder() -> None:
    """Use shared memory for temporary files, of child processes as well, where the root file system is read-only.

    Raises UserError where that cannot be written either.
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


def raise_file_limit() -> None:
    """Let this process open as many files and connections as the system allows: the soft limit is often 1,024."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # some systems refuse their own limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def keep_freed_memory() -> None:
    """Let glibc keep the memory that it frees, which makes a CPU compute up to 1.5 times faster; elsewhere nothing.

    A network frees and allocates the same few hundred megabytes at every step. By default glibc returns large blocks
    to the kernel, which clears them again: hundreds of thousands of page faults a step.
    """
    if mallopt := _libc("mallopt"):
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)


def bound_memory_of_sizes() -> None:
    """Keep the memory of a process flat that computes images of ever new sizes in several threads; call it before all.

    glibc uses one arena for all threads, or each thread would keep what its largest images needed. oneDNN keeps 256
    compiled operations in place of 1,024, unless the environment says how many: each size needs 20 to 60 of its own.
    """
    if mallopt := _libc("mallopt"):
        mallopt(_M_ARENA_MAX, 1)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")


def return_freed_memory() -> None:
    """Collect garbage and return freed memory to the system."""
    gc.collect()
    trim_freed_memory()


def trim_freed_memory() -> None:
    """Return the memory that glibc keeps to the system, which takes some ten milliseconds."""
    if trim := _libc("malloc_trim"):
        trim(0)


def _libc(function: str) -> Any:
    """A function of the C library on Linux, or None."""
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
