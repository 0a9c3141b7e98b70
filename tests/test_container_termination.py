import os
import signal
import time

import pytest

from segwright.container import termination
from segwright.container.termination import termination_noted
from segwright.interruption import OutOfTime


def test_what_does_not_follow_a_wish_to_stop_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(termination, "GRACE", 1)
    before = signal.getsignal(signal.SIGTERM)
    with termination_noted() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.made
        with pytest.raises(OutOfTime):
            time.sleep(20)
    assert signal.getsignal(signal.SIGTERM) is before
