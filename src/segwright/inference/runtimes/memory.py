"""Shortage of memory, which each library reports in its own way."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SAYINGS: Final = re.compile(r"failed to allocate|(could not|cannot|can't) allocate|bad.alloc|out of memory", re.I)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError in place of a library's own error that says that memory is short."""
    try:
        yield
    except Exception as error:  # ONNX Runtime's derive from nothing else
        if _SAYINGS.search(str(error)):
            raise MemoryError(str(error)) from error
        raise
