"""Programs that take turns: each waits until it is told, runs once, and says how long that took.

So that all are measured under the same conditions, none computes while another does. Nothing but the standard library,
because peers import this in environments of their own.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

WARM = 3
"""Runs that are not counted."""


def take_turns(run: Callable[[], object]) -> None:
    """In a contestant: run for each line of stdin; print the milliseconds. The first line says that it is ready."""
    for _ in range(WARM):
        run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(f"{1000 * (time.perf_counter() - start):.3f}", flush=True)


class Contestant:
    """A program that calls `take_turns`."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name, self.times = name, list[float]()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def wait(self) -> bool:
        """Wait until it is ready. False, with the end of its messages printed, where it fails."""
        assert self._process.stdout is not None and self._process.stderr is not None
        for line in self._process.stdout:
            if line.strip() == "ready":
                return True
        print(f"{self.name} does not run: {self._process.stderr.read()[-600:]}", file=sys.stderr, flush=True)
        return False

    def turn(self) -> None:
        """Let it run once."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.times.append(float(self._process.stdout.readline()))

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.times)

    def end(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(contestants: Sequence[tuple[str, Sequence[str], Mapping[str, str]]], rounds: int) -> list[Contestant]:
    """Let all programs (name, command, environment) take turns for so many rounds; those that fail are left out."""
    running = []
    for name, command, environment in contestants:  # one after the other: building a network takes all cores, too
        contestant = Contestant(name, command, environment)
        if contestant.wait():
            running.append(contestant)
    for _ in range(rounds):
        for contestant in running:
            contestant.turn()
    for contestant in running:
        contestant.end()
    return running
