"""How long the stages of one request took. Source: Server Timing, W3C, section 3."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SERVER_TIMING: Final = "Server-Timing"


class StageTimes:
    """Seconds by stage, in the order in which the stages began."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start

    def header(self) -> str:
        """The value of a header Server-Timing, in milliseconds: `decode;dur=1.2, network;dur=80.0`."""
        return ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in self.seconds.items())
