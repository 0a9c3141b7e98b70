"""Segwright as processes that need not import it: forks of one server that has, for tests that stop and kill them."""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["segwright.cli", "segwright.sagemaker.train", "segwright.inference"])


class Process:
    """A running `segwright` with some arguments; `output` is what it writes to both standard streams."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path,
        environment: Mapping[str, str] = {},
        before: Callable[[], object] = int,
    ) -> None:
        """`before` is called in the process before the command runs."""
        read, write = os.pipe()
        given = (_Passed(write), [*map(str, arguments)], {**os.environ, **environment}, str(cwd), before)
        self._process = SERVER.Process(target=_run, args=given)
        self._process.start()
        os.close(write)
        self.output = os.fdopen(read, errors="backslashreplace")

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def wait_for(self, sign: str) -> str:
        """Read the output up to the line that shows `sign`."""
        lines = []
        for line in self.output:
            lines.append(line)
            if sign in line:
                return "".join(lines)
        raise AssertionError(f"the process ended without {sign}: {''.join(lines)}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and to those that it has started, as a terminal does."""
        assert self._process.pid
        os.killpg(self._process.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        """Kill the process and those that it has started, as the end of a machine does."""
        self.send(signal.SIGKILL)

    def end(self, seconds: float = 200) -> tuple[int, str]:
        """Wait for the end; the exit status, and the rest of the output."""
        output = self.output.read()
        self._process.join(seconds)
        assert self._process.exitcode is not None, output
        self.output.close()
        return self._process.exitcode, output


def start_two(*arguments: str | Path, cwd: Path) -> list[Process]:
    """Two processes that train together, as `torchrun` starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = ({"RANK": rank, "LOCAL_RANK": rank} for rank in "01")
    return [Process(*arguments, cwd=cwd, environment={**shared, **rank}) for rank in ranks]


def end_both(processes: Iterable[Process]) -> list[tuple[int, str]]:
    """Wait for processes that train together; their exit statuses and outputs."""
    return [process.end() for process in processes]


class _Passed:
    """A file descriptor on its way to a process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __getstate__(self) -> Any:
        return DupFd(self.descriptor)

    def __setstate__(self, state: Any) -> None:
        self.descriptor = state.detach()


def _run(
    output: _Passed, arguments: list[str], environment: dict[str, str], cwd: str, before: Callable[[], object]
) -> None:
    multiprocessing.set_start_method("fork", force=True)  # as where Python was started
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for descriptor in (1, 2):
        os.dup2(output.descriptor, descriptor)
    sys.stdout, sys.stderr = (open(one, "w", buffering=1, closefd=False) for one in (1, 2))  # noqa: SIM115
    sys.argv = ["segwright", *arguments]
    before()
    from segwright.__main__ import main

    sys.exit(main())
