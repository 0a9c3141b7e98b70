"""A wish that work should end, as a request that the work sees between two steps.

Ctrl-C (SIGINT) is a person's wish, SIGTERM a machine's: `docker stop`, SageMaker, a scheduler. Knows signals. Refuses
to know what is interrupted and what is saved then.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """Raised between two steps after a wish to stop, when everything is in a state worth saving."""


class StopRequest:
    """Whether somebody wishes that work should end."""

    def __init__(self) -> None:
        self.made = False

    def check(self) -> None:
        """Raise StopRequested if a stop was requested."""
        if self.made:
            raise StopRequested


def hold_termination() -> None:
    """Let SIGTERM wait until `release_termination`: for a process whose handler does not stand yet."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def release_termination() -> None:
    """Let SIGTERM come again, one that has waited at once."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


@contextmanager
def stop_on_signals(request: StopRequest) -> Iterator[None]:
    """Turn SIGTERM and the first Ctrl-C into a request that the work sees between two steps; a second Ctrl-C stops at
    once. A handler that SIGTERM had already is called as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows signal handlers in the main thread only.
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.made = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        elif callable(earlier := before[signal.SIGTERM]):
            earlier(number, frame)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
