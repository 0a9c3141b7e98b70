"""Training jobs that are stopped or killed: what they leave, and how they go on."""

import re
import signal
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from segwright.bundle import BEST_WEIGHTS, LAST_WEIGHTS, load_network, read_description
from segwright.checks import scan
from segwright.sagemaker import termination
from segwright.sagemaker import train as entry
from segwright.sagemaker.paths import Paths
from segwright.stopping import StopRequest
from segwright.training.run import Training
from tests.helpers import jobs


def test_a_stop_that_cannot_be_finished_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    root = jobs.make_job(tmp_path / "ml")
    (root / "model" / "bundle.json").write_text("{")
    monkeypatch.setattr(Training, "run", stopped)
    assert jobs.run(root)[0] == 2
    assert "bundle.json is damaged" in jobs.failure(root)


def test_sigterm_after_the_end_changes_nothing(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="1")
    process = jobs.start(root)
    assert process.stdout is not None
    next(line for line in process.stdout if "Test data is not provided" in line)
    for _ in range(20):
        process.terminate()
        time.sleep(0.02)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log


def test_sigterm_at_the_start_of_the_images_process_leaves_a_usable_model(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="5000")
    process = jobs.start(root, command=("env", "--block-signal=TERM", *jobs.COMMAND))
    wait_for_handler(process.pid)
    process.terminate()
    log, _ = process.communicate(timeout=60)
    check_stopped(root, process.returncode, log)


@pytest.mark.parametrize("sign", ["Checkpoint loading", "LRScheduler", "completed"])
def test_sigterm_leaves_a_usable_model(tmp_path: Path, sign: str) -> None:
    """While the data are read, before the first step, and while it trains."""
    root = jobs.make_job(tmp_path / "ml", epochs="5000", _logging_frequency="20")
    log = stopped_at(root, sign)
    load_network(root / "model", LAST_WEIGHTS)
    begun = "stopped before a model was written" not in log
    assert bool(list((root / "checkpoints").glob("checkpoint-*"))) == begun
    assert begun or sign == "Checkpoint loading"


def test_sigterm_while_a_late_fifo_is_waited_for_leaves_a_usable_model(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=("train", "validation"), mode="Pipe")
    assert "holds the weights that training starts from" in stopped_at(root, "train: no label map")


def test_sigterm_while_a_restarted_job_reads_its_data_leaves_what_it_had_learnt(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml")
    status, log = jobs.run(root)
    assert status == 0, log
    learnt = {name: load_file(root / "model" / name) for name in (BEST_WEIGHTS, LAST_WEIGHTS)}
    before = read_description(root / "model")
    jobs.empty_model(root)
    assert "holds that of the newest checkpoint" in stopped_at(root, "Checkpoint loading", hold_reading)
    for name, weights in learnt.items():
        found = load_file(root / "model" / name)
        assert all(torch.equal(found[key], value) for key, value in weights.items())
    assert read_description(root / "model") == before
    assert len((root / "model/metrics.jsonl").read_text().splitlines()) == 2


def hold_reading() -> None:
    """Let no file be read before SIGTERM has come."""
    read = scan.scan_pair

    def held(*arguments: Any, **options: Any) -> Any:
        while not signal.getitimer(signal.ITIMER_REAL)[0]:  # set by SIGTERM
            time.sleep(0.01)
        return read(*arguments, **options)

    scan.scan_pair = held


def hang_in(module: str, name: str) -> None:
    """Let a function of a module hang, and the deadline after SIGTERM be near."""
    termination.GRACE = 2  # type: ignore[misc]
    *path, function = name.split(".")
    place: Any = import_module(module)
    for part in path:
        place = getattr(place, part)

    def hang(*_arguments: object, **_options: object) -> None:
        print("it hangs", flush=True)
        time.sleep(100)

    setattr(place, function, hang)


@pytest.mark.parametrize(
    ("module", "name"),
    [("segwright.checks.scan", "scan_pair"), ("segwright.training.train_step", "TrainState.train_step")],
)
def test_sigterm_ends_a_job_that_hangs_with_a_usable_model(tmp_path: Path, module: str, name: str) -> None:
    log = stopped_at(jobs.make_job(tmp_path / "ml"), "it hangs", partial(hang_in, module, name))
    assert "does not stop by itself" in log and "holds the weights that training starts from" in log


def test_a_job_that_does_not_know_its_classes_has_no_model_when_it_is_stopped_too_early(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml")
    jobs.write_settings(root, {"num_classes": None})
    status, log = jobs.run(root, stopped=True)
    assert status == 0 and "there is none: nothing but the masks says how many classes there are" in log
    assert not list((root / "model").iterdir()) and not (root / "output/failure").exists()


def test_a_stopped_job_takes_no_checkpoint_of_another_for_its_own(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="1")
    assert jobs.run(root)[0] == 0
    jobs.empty_model(root)
    jobs.write_settings(root, {"algorithm": "psp"})
    assert jobs.run(root, stopped=True)[0] == 2
    assert re.search(r"algorithm.* fcn.* psp", jobs.failure(root))


def test_what_fails_after_a_stop_request_ends_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopRequest()

    def broken(*_arguments: object, **_options: object) -> None:
        stop.made = True
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr(Training, "run", broken)
    root = jobs.make_job(tmp_path / "ml")
    (root / "model" / ".abc.partial.safetensors").write_bytes(b"half")
    assert entry.run_training(Paths(root), stop) == 0
    load_network(root / "model")
    assert not list((root / "model").glob(".*")) and not (root / "output/failure").exists()


def stopped_at(root: Path, sign: str, before: Callable[[], object] = int) -> str:
    """Send a job SIGTERM when its log shows `sign`, and see it end in good order; its log from there on."""
    process = jobs.fork(root, before)
    process.wait_for(sign)
    process.terminate()
    status, log = process.end(60)
    check_stopped(root, status, log)
    return log


def check_stopped(root: Path, status: int, log: str) -> None:
    jobs.check_no_flags(log)
    assert status == 0, log
    assert not (root / "output/failure").exists()
    load_network(root / "model")
    assert (root / "model/hyperparams.json").is_file()
    assert "Stopped; the model is in" in log


def wait_for_handler(process: int) -> None:
    """Wait until a process holds back or handles SIGTERM: Python itself takes a moment until then."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        pytest.skip("only Linux shows what a process does with signals")
    mask = 1 << (signal.SIGTERM - 1)
    while not any(int(found, 16) & mask for found in re.findall(r"Sig(?:Blk|Cgt):\s+(\w+)", status.read_text())):
        time.sleep(0.005)


def test_a_spot_job_killed_thrice_ends_as_if_undisturbed(tmp_path: Path) -> None:
    whole = jobs.make_job(tmp_path / "whole", epochs="8", _workers="2")
    status, log = jobs.fork(whole).end()
    assert status == 0 and "Checkpoint loading and saving are enabled" in log
    cut = jobs.make_job(tmp_path / "cut", epochs="8", _workers="2")
    reached = 0
    for _ in range(3):
        process = jobs.fork(cut)
        deadline = time.monotonic() + 120
        while newest(cut) <= reached and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
        process.end()
        reached = newest(cut)
        jobs.empty_model(cut)
    assert 3 <= reached < 8
    status, log = jobs.fork(cut).end()
    assert status == 0 and f"continuing after {2 * reached} updates" in log
    for file in (BEST_WEIGHTS, LAST_WEIGHTS):
        one, other = (load_file(root / "model" / file) for root in (whole, cut))
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert '"Reset Count": {"sum": 8,' in log and '"Total Records Seen": {"sum": 64,' in log


def newest(root: Path) -> int:
    """The number of the newest checkpoint."""
    files = (root / "checkpoints").glob("checkpoint-*")
    return max((int(file.name.split("-")[1]) for file in files), default=0)
