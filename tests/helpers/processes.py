"""Processes that need not import Segwright: forks of one that has, for tests that stop, kill and count processes."""

import itertools
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["segwright.cli", "segwright.sagemaker.train", "segwright.serving"])


class Forked:
    """A process that does what `run`, a function that can be pickled, does; both streams come together if `merged`."""

    def __init__(self, run: Callable[[], object], environment: Mapping[str, str] | None, merged: bool = False) -> None:
        pipes = [FORKS.Pipe(duplex=False) for _ in range(1 if merged else 2)]
        surroundings = dict(os.environ if environment is None else environment)
        self._process = FORKS.Process(target=_become, args=(run, surroundings, *(write for _, write in pipes)))
        self._process.start()
        streams = [os.fdopen(os.dup(read.fileno()), encoding="utf-8", errors="backslashreplace") for read, _ in pipes]
        self.stdout, self.stderr = streams[0], streams[-1]
        for end in itertools.chain(*pipes):
            end.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and to those that it has started, as a terminal does."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill the process and those that it has started, as the end of a machine does."""
        if self.poll() is None:
            self.send(signal.SIGKILL)


class Process(Forked):
    """A running `segwright` with some arguments; `before` is called in it before the command runs."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path,
        environment: Mapping[str, str] = {},
        before: Callable[[], object] = int,
    ) -> None:
        super().__init__(partial(_command, list(map(str, arguments)), cwd, before), {**os.environ, **environment}, True)

    def wait_for(self, sign: str) -> str:
        """Read the output up to the line that shows `sign`."""
        lines = []
        for line in self.stdout:
            lines.append(line)
            if sign in line:
                return "".join(lines)
        raise AssertionError(f"the process ended without {sign}: {''.join(lines)}")

    def end(self, seconds: float = 200) -> tuple[int, str]:
        """Wait for the end; the exit status, and the rest of the output."""
        output = self.stdout.read()
        status = self.wait(seconds)
        assert status is not None, output
        self.stdout.close()
        return status, output


def start_two(*arguments: str | Path, cwd: Path, before: Callable[[], object] = int) -> list[Process]:
    """Two processes that train together, as `torchrun` starts them; `before` is called in each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = ({"RANK": rank, "LOCAL_RANK": rank} for rank in "01")
    return [Process(*arguments, cwd=cwd, environment={**shared, **rank}, before=before) for rank in ranks]


def end_both(processes: Iterable[Process]) -> list[tuple[int, str]]:
    """Wait for processes that train together; their exit statuses and outputs."""
    return [process.end() for process in processes]


def run_python(arguments: Sequence[str]) -> None:
    """`-m MODULE ...` or `-c SCRIPT ...` as Python runs them; warnings are errors."""
    warnings.simplefilter("error")
    kind, what, *rest = arguments
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(what, {"__name__": "__main__"})


def _command(arguments: list[str], cwd: Path, before: Callable[[], object]) -> None:
    multiprocessing.set_start_method("fork", force=True)  # for loaders, as where Python was started
    os.chdir(cwd)
    before()
    sys.argv = ["segwright", *arguments]
    from segwright.__main__ import main

    sys.exit(main())


def _become(run: Callable[[], object], environment: dict[str, str], *outputs: Connection) -> None:
    os.setsid()
    for number, end in ((1, outputs[0]), (2, outputs[-1])):
        os.dup2(end.fileno(), number)
    for end in outputs:
        end.close()
    sys.stdout, sys.stderr = (open(one, "w", 1, encoding="utf-8", closefd=False) for one in (1, 2))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    run()
