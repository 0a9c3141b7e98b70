"""What the machine has left: memory of a device, and open files.

Knows CUDA. Refuses to know models.
"""

import ctypes
import gc
import sys
from contextlib import suppress

import torch

from segwright import resources


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a device, or None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return resources.available_memory()


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
