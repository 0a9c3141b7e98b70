"""SIGTERM as a request to stop, from the first moment of a job on, with a deadline.

Imports nothing heavy: `__main__` holds SIGTERM back until the handler is installed.

Source: SageMaker's contract, section 6.1: 120 seconds lie between SIGTERM and SIGKILL.
"""

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from segwright.stopping import StopRequest, release_termination

GRACE: Final = 80
"""Seconds from SIGTERM to the deadline, at which a process is ended that has not stopped: it may wait for a file."""


@contextmanager
def stop_on_sigterm(on_deadline: Callable[[], int] | None) -> Iterator[StopRequest]:
    """Turn SIGTERM into a stop request; after the block SIGTERM is ignored, because all work is done.

    At the deadline the process exits with the status that `on_deadline` returns, without unwinding, which might hang as
    well. None: the process that launched this one ends it.
    """
    stop = StopRequest()
    received = False

    def request(_number: int, _frame: FrameType | None) -> None:
        nonlocal received
        stop.made = True
        if on_deadline and not received:  # a second SIGTERM does not move the deadline
            signal.alarm(GRACE)
        received = True

    def end(_number: int, _frame: FrameType | None) -> None:
        try:
            status = on_deadline() if on_deadline else 0
        except BaseException:
            traceback.print_exc()
            status = 1
        os._exit(status)

    signal.signal(signal.SIGTERM, request)
    signal.signal(signal.SIGALRM, end)
    release_termination()
    try:
        yield stop
    finally:
        cancel_deadline()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def cancel_deadline() -> None:
    """Let the process end by itself: it writes its model."""
    signal.alarm(0)
