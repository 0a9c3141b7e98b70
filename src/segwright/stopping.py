"""Cooperative stop: SIGINT and SIGTERM as a request that work checks between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """Raised between two steps after a stop was requested, when the state is worth saving."""


class StopRequest:
    """Whether a stop was requested."""

    def __init__(self) -> None:
        self.made = False

    def check(self) -> None:
        """Raise StopRequested if a stop was requested."""
        if self.made:
            raise StopRequested


def hold_termination() -> None:
    """Block SIGTERM until `release_termination`: for a process that has no handler yet."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def release_termination() -> None:
    """Unblock SIGTERM; one that was held is delivered."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


@contextmanager
def stop_on_signals(request: StopRequest) -> Iterator[None]:
    """Turn SIGTERM and the first Ctrl-C into a request; a second Ctrl-C raises KeyboardInterrupt. An earlier handler of
    SIGTERM is called as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows signal handlers in the main thread only
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        request.made = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        elif callable(earlier := before[signal.SIGTERM]):
            earlier(number, frame)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
