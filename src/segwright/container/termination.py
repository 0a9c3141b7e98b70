"""SIGTERM from the first moment of a job on, as a request; and an end for what does not stop in good order.

Imports nothing heavy: what came before, since `__main__`, waits until the handler stands.

Source: SageMaker's contract, section 6.1: 120 seconds lie between SIGTERM and SIGKILL.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from segwright.interruption import OutOfTime, StopRequest, release_termination

GRACE: Final = 60
"""Seconds after SIGTERM until what has not stopped by itself, such as one very long step, is interrupted."""


@contextmanager
def termination_noted() -> Iterator[StopRequest]:
    """Turn SIGTERM into a request; GRACE seconds later OutOfTime is raised, wherever work stands then."""
    stop = StopRequest()

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.made = True
        signal.alarm(GRACE)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, note),
        signal.SIGALRM: signal.signal(signal.SIGALRM, interrupt),
    }
    release_termination()
    try:
        yield stop
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
