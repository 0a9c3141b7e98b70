"""One process for each GPU of the machine, without anybody asking for it.

Each runs the same command with the variables that `torchrun` would give it. They stop together: a wish to stop is
passed on to all, and when one fails the others are ended. Knows processes. Refuses to know what they do.
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

RANK: Final = "RANK"
_LOOK_EVERY: Final = 0.1  # seconds
_PATIENCE: Final = 10.0  # seconds until the others are killed, when one has failed or the first one is done


def is_first() -> bool:
    """Whether this process writes and tells: the only one, or the first of several."""
    return not rank()


def rank() -> int | None:
    """Which of several processes this is, or None for the one that the container started."""
    text = os.environ.get(RANK)
    return int(text) if text else None


def launch(command: Sequence[str], count: int, stop: StopRequest, grace: float) -> int:
    """Run `command` in `count` processes and return the exit status of the first that failed, or 0.

    A negative one is that of a process that a signal has killed, as in `subprocess`: that of all which have not ended
    `grace` seconds after a wish to stop. Where the first process ends well, the others cannot fail.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    surroundings = [{**os.environ, **_variables(number, count, port)} for number in range(count)]
    # Held back until the processes can hear it; they inherit that and release it themselves.
    hold_termination()
    processes = [subprocess.Popen(list(command), env=variables) for variables in surroundings]
    release_termination()
    try:
        return _wait(processes, stop, grace)
    except KeyboardInterrupt:  # Ctrl-C reaches them as well, and they have to save what they know.
        stop.made = True
        return _wait(processes, stop, grace)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _variables(number: int, count: int, port: int) -> dict[str, str]:
    threads = max(available_cores() // count, 1)
    return {
        RANK: str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
    }


def _wait(processes: Sequence[subprocess.Popen[bytes]], stop: StopRequest, grace: float) -> int:
    told: float | None = None
    while True:
        statuses = [process.poll() for process in processes]
        if any(statuses) or statuses[0] == 0:
            _give_time(processes)
            well = processes[0].poll() == 0  # It has written everything: nothing that the others do matters then.
            return 0 if well else next(status for status in statuses if status)
        if stop.made and told is None:
            told = time.monotonic()
            for process in processes:
                process.terminate()
        if told is not None and time.monotonic() > told + grace:
            return -signal.SIGKILL
        time.sleep(_LOOK_EVERY)


def _give_time(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let the others end by themselves, but not wait for ever for one that is gone."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and any(process.poll() is None for process in processes):
        time.sleep(_LOOK_EVERY)
