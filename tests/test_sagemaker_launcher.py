import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from segwright.bundle import load_network
from segwright.sagemaker import launcher as launching
from segwright.sagemaker.launcher import launch
from segwright.stopping import StopRequest
from tests.helpers import jobs


def test_several_processes_train_one_model_and_stop_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="2000", mini_batch_size="3")
    for name, value in jobs.environment(root).items():
        monkeypatch.setenv(name, value)
    stop = StopRequest()

    def stop_when_trained() -> None:
        deadline = time.monotonic() + 120
        while not (root / "model/metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.made = True

    thread = threading.Thread(target=stop_when_trained)
    thread.start()
    assert launch(jobs.COMMAND, 2, stop, 60) == 0
    thread.join()
    description, _ = load_network(root / "model")
    assert description.metrics["best"] is not None
    assert not (root / "output/failure").exists()


def test_a_stop_before_processes_are_launched_reaches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="2000")
    for name, value in jobs.environment(root).items():
        monkeypatch.setenv(name, value)
    stop = StopRequest()
    stop.made = True
    assert launch(jobs.COMMAND, 2, stop, 60) == 0
    load_network(root / "model")


def test_launched_processes_know_their_place_and_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    complains = "import os, sys, time; r = int(os.environ['RANK']); time.sleep(1 - r); sys.exit(r)"
    assert launch((sys.executable, "-c", complains), 2, StopRequest(), 60) == 0
    monkeypatch.setattr(launching, "_PATIENCE", 0.5)
    says = "import os, sys, time; r = int(os.environ['RANK']); time.sleep(60 * (r != 1)); sys.exit(3 * r)"
    begun = time.monotonic()
    assert launch((sys.executable, "-c", says), 3, StopRequest(), 60) == 3
    assert time.monotonic() - begun < 40
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert launch((sys.executable, "-c", killed), 1, StopRequest(), 60) == -signal.SIGKILL
