import os
import signal
import subprocess
import sys
import threading

import pytest

from segwright.stopping import StopRequest, StopRequested, stop_on_signals


def test_first_interrupt_is_a_request_and_the_second_an_interrupt() -> None:
    before = signal.getsignal(signal.SIGINT)  # a shell's background jobs begin with Ctrl-C ignored
    stop = StopRequest()
    with stop_on_signals(stop):
        stop.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopRequested):
            stop.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_is_a_request_however_often_it_comes() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = StopRequest()
    with stop_on_signals(stop):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.made
    assert signal.getsignal(signal.SIGTERM) is before


HOLDING = """
import os, signal
from segwright.stopping import StopRequest, hold_termination, release_termination, stop_on_signals
hold_termination()
os.kill(os.getpid(), signal.SIGTERM)
stop = StopRequest()
with stop_on_signals(stop):
    assert not stop.made
    release_termination()
    assert stop.made
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no masks of signals")
def test_what_comes_while_termination_is_held_comes_later() -> None:
    subprocess.run([sys.executable, "-c", HOLDING], check=True)  # alone, because other threads hear signals, too


def test_a_handler_that_stood_before_is_called_as_well() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        stop = StopRequest()
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.made and heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_beside_the_main_thread_signals_stay_as_they_are() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with stop_on_signals(StopRequest()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
