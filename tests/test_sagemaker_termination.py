import subprocess
import sys

OVERDUE = """
import os, signal, time
from segwright.sagemaker import termination
termination.GRACE = 1
with termination.stop_on_sigterm(lambda: 7) as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.made
    time.sleep(0.6)
    os.kill(os.getpid(), signal.SIGTERM)  # does not begin anew
    time.sleep(0.7)
"""


def test_what_does_not_follow_a_stop_request_is_ended() -> None:
    assert subprocess.run([sys.executable, "-c", OVERDUE], check=False, timeout=60).returncode == 7


LEFT = """
import os, signal
from segwright.sagemaker.termination import stop_on_sigterm
with stop_on_sigterm(None) as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.made and signal.alarm(0) == 0
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_process_that_another_has_started_is_left_to_it() -> None:
    assert subprocess.run([sys.executable, "-c", LEFT], check=False, timeout=60).returncode == 0
