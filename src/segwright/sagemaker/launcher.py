"""One process for each GPU of the machine, with the variables of `torchrun`.

The processes stop together: a stop request is passed on to all, and when one fails the others are ended.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Final

from segwright.resources import available_cores
from segwright.stopping import StopRequest, hold_termination, release_termination

_POLL_EVERY: Final = 0.1  # seconds
_PATIENCE: Final = 10.0  # seconds until the others are killed, when one has failed or the first is done


def rank() -> int | None:
    """The rank of a launched process, or None in the one that the container started."""
    text = os.environ.get("RANK")
    return int(text) if text else None


def is_main() -> bool:
    """Whether this process writes and logs: the only one, or the first of several."""
    return not rank()


def launch(command: Sequence[str], count: int, stop: StopRequest, grace: float) -> int:
    """Run `command` in `count` processes and return the exit status of the first that failed, or 0.

    A negative status is the signal that killed a process, as in `subprocess`; processes that run on for `grace` seconds
    after a stop request are killed. Where the first process succeeds, the others cannot fail.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = str(max(available_cores() // count, 1))
    variables = {"OMP_NUM_THREADS": threads, **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    variables.update(WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count))
    hold_termination()  # the processes inherit that, and release it when they can handle SIGTERM
    processes = [
        subprocess.Popen(list(command), env={**variables, "RANK": str(number), "LOCAL_RANK": str(number)})
        for number in range(count)
    ]
    release_termination()
    try:
        return _wait(processes, stop, grace)
    except KeyboardInterrupt:  # Ctrl-C reaches the processes as well, which save before they end
        stop.made = True
        return _wait(processes, stop, grace)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes: Sequence[subprocess.Popen[bytes]], stop: StopRequest, grace: float) -> int:
    deadline: float | None = None
    while True:
        statuses = [process.poll() for process in processes]
        if any(statuses) or statuses[0] == 0:
            patience = time.monotonic() + _PATIENCE
            while time.monotonic() < patience and any(process.poll() is None for process in processes):
                time.sleep(_POLL_EVERY)
            first_succeeded = processes[0].poll() == 0  # it has written everything
            return 0 if first_succeeded else next(status for status in statuses if status)
        if stop.made and deadline is None:
            deadline = time.monotonic() + grace
            for process in processes:
                process.terminate()
        if deadline is not None and time.monotonic() > deadline:
            return -signal.SIGKILL
        time.sleep(_POLL_EVERY)
