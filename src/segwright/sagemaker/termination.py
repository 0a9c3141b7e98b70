"""SIGTERM from the first moment of a job on, as a request; and an end for what does not stop in good order.

Imports nothing heavy: what came before, since `__main__`, waits until the handler stands.

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
"""Seconds after SIGTERM until a process is ended that has not stopped by itself: it waits for a file, or for a GPU."""


@contextmanager
def termination_noted(when_overdue: Callable[[], int] | None) -> Iterator[StopRequest]:
    """Turn SIGTERM into a request; afterwards it is ignored, because what it would ask for is done.

    GRACE seconds later, wherever work stands then, the process exits with the status that `when_overdue` returns; None
    leaves that to whoever has started it. Nothing is unwound: what work hangs on would hang that, too.
    """
    stop = StopRequest()
    noted = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal noted
        stop.made = True
        if when_overdue and not noted:  # A second SIGTERM gives no second grace.
            signal.alarm(GRACE)
        noted = True

    def end(_number: int, _frame: FrameType | None) -> None:
        try:
            status = when_overdue() if when_overdue else 0
        except BaseException:
            traceback.print_exc()
            status = 1
        os._exit(status)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGALRM, end)
    release_termination()
    try:
        yield stop
    finally:
        not_overdue()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def not_overdue() -> None:
    """Say that the process is about to end by itself: it makes its model."""
    signal.alarm(0)
