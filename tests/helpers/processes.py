"""Python in a process of its own, forked from one that has imported Segwright: a start takes milliseconds of CPU."""

import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["segwright.cli", "segwright.serving", "segwright.sagemaker", "tests.helpers.processes"]
)


class Forked:
    """A process as `subprocess.Popen` has it, for `-m MODULE ...` and `-c SCRIPT ...`; warnings are errors in it.

    Modules are imported already: not for tests of imports, of the interpreter's flags, or of a start's first moments.
    """

    def __init__(self, arguments: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        ends = [_CONTEXT.Pipe(duplex=False) for _ in range(2)]
        given = ([str(argument) for argument in arguments], dict(os.environ if environment is None else environment))
        self._process = _CONTEXT.Process(target=_become, args=(*given, *(write for _, write in ends)))
        self._process.start()
        for _, write in ends:
            write.close()
        self.stdout, self.stderr = (io.TextIOWrapper(io.FileIO(os.dup(read.fileno())), "utf-8") for read, _ in ends)
        for read, _ in ends:
            read.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"the process has not ended within {timeout} s")
        return self._process.exitcode

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        self._process.kill()


def run(
    arguments: Sequence[str | Path], environment: Mapping[str, str] | None = None, timeout: float = 100
) -> subprocess.CompletedProcess[str]:
    """Run such a process to its end."""
    process, texts = Forked(arguments, environment), {"stdout": "", "stderr": ""}

    def read(name: str) -> None:
        texts[name] = getattr(process, name).read()

    readers = [threading.Thread(target=read, args=(name,)) for name in texts]
    for reader in readers:
        reader.start()
    try:
        status = process.wait(timeout)
    finally:
        process.kill()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()
    return subprocess.CompletedProcess(list(arguments), status, texts["stdout"], texts["stderr"])


def _become(arguments: list[str], environment: dict[str, str], stdout: Connection, stderr: Connection) -> None:
    for number, end in ((1, stdout), (2, stderr)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor that stays open
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("error")
    kind, what, *rest = arguments
    if kind == "-m":
        sys.argv = [what, *rest]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *rest]
        exec(compile(what, "<script>", "exec"), {"__name__": "__main__"})
