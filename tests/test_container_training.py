"""Training jobs from outside: the tree that SageMaker makes, the real entry as a process, what it leaves."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segwright.bundle import BEST, LAST, load_network, read_description
from segwright.container import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS, launching
from segwright.container import training as entry
from segwright.container.launching import launch
from segwright.container.tree import Tree
from segwright.interruption import StopRequest
from tests import jobs
from tests.gluoncv import recorded_arrays
from tests.mxnet_params_writer import write_params

GOLDEN = Path(__file__).parent / "data" / "container" / "training.txt"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A job that has ended, with channels as careless prefixes leave them, and its log."""
    root = jobs.make_job(tmp_path_factory.mktemp("done") / "ml", channels=(*jobs.FOUR, "label_map", "test"))
    shutil.rmtree(root / "checkpoints")
    (root / "input/config/checkpointconfig.json").unlink()
    data = root / "input/data"
    shutil.copytree(data / "train_annotation", data / "train" / "train_annotation")
    (data / "train" / ".ipynb_checkpoints").mkdir()
    (data / "train" / "notes.txt").write_text("not a picture")
    (data / "label_map" / "train_label_map.json").write_text('{"scale": "1"}')
    status, log = jobs.run(root)
    assert status == 0, log
    return root, log


def test_the_log_reads_as_the_originals(done: tuple[Path, str]) -> None:
    root, log = done
    assert jobs.without_figures(log, root) == GOLDEN.read_text()


def test_sagemaker_finds_one_value_an_epoch_and_metric(done: tuple[Path, str]) -> None:
    root, log = done
    records = [json.loads(line) for line in (root / "model/metrics.jsonl").read_text().splitlines()]
    found = {
        one["Name"]: [float(match[1]) for line in log.splitlines() for match in re.finditer(one["Regex"], line)]
        for one in (*METRIC_DEFINITIONS, *FURTHER_METRIC_DEFINITIONS)
    }
    assert {len(values) for values in found.values()} == {2}
    assert found["validation:mIOU"] == [record["validation"]["mean_iou"] for record in records]
    assert found["validation:pixel_accuracy"] == [record["validation"]["pixel_accuracy"] for record in records]
    assert found["train:loss"] == [record["train_loss"] for record in records]
    assert found["validation:IoU_class_1"] == [record["validation"]["per_class"][1]["iou"] for record in records]


def test_a_job_leaves_what_the_command_line_leaves_and_the_originals_settings(done: tuple[Path, str]) -> None:
    root, _ = done
    description, _ = load_network(root / "model")
    assert description.network.num_classes == 3 and (root / "model" / LAST).is_file()
    given = json.loads((root / "model/hyperparams.json").read_text())
    assert given["num_classes"] == "3" and given["_aux_loss"] == "True" and given["algorithm"] == "fcn"
    assert (root / "output/data/metrics.jsonl").read_bytes() == (root / "model/metrics.jsonl").read_bytes()
    assert not (root / "output/failure").exists()


def test_a_pipe_job_reads_its_fifos(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=("train", "validation"), mode="Pipe", epochs="1")
    config = root / "input/config/inputdataconfig.json"
    channels = json.loads(config.read_text())
    config.write_text(json.dumps({name: {**one, "RecordWrapperType": "RecordIO"} for name, one in channels.items()}))
    data = root / "input/data"
    data.rename(tmp_path / "pictures")
    data.mkdir()
    for side in ("train", "validation"):
        pictures = sorted((tmp_path / "pictures" / side).iterdir())
        lines = (
            json.dumps({"source-ref": f"{side}/{one.name}", "label-ref": f"{side}_annotation/{one.stem}.png"})
            for one in pictures
        )
        (tmp_path / "pictures" / f"{side}.manifest").write_text("\n".join(lines) + "\n")
    train, validation = (str(tmp_path / "pictures" / f"{side}.manifest") for side in ("train", "validation"))
    pipe = subprocess.Popen(
        [sys.executable, "-m", "segwright", "pipe", train, str(data), "--validation", validation],
        stderr=subprocess.DEVNULL,
    )
    try:
        status, log = jobs.run(root)
    finally:
        pipe.terminate()
        pipe.wait()
    assert status == 0, log
    assert "validation mIOU: " in log and '"Total Records Seen": {"sum": 8,' in log
    load_network(root / "model")


@pytest.mark.parametrize(
    ("settings", "spoil", "reason"),
    [
        ({"epochs": "0"}, None, r'epochs is "0"'),
        ({"num_clases": "3"}, None, r"num_clases.*num_classes"),
        ({"num_classes": "2"}, None, r"with num_classes 2 the classes are 0 to 1.*002?\.png.*the channel label_map"),
        ({}, "validation_annotation", r"validation_annotation.*holds no masks"),
    ],
)
def test_the_users_faults_are_client_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, str], spoil: str | None, reason: str
) -> None:
    root = jobs.make_job(tmp_path / "ml")
    file = root / "input/config/hyperparameters.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    if spoil:
        shutil.rmtree(root / "input/data" / spoil)
        (root / "input/data" / spoil).mkdir()
    assert entry.run_training(Tree(root), StopRequest()) == 2
    failure = (root / "output/failure").read_text()
    assert failure.startswith("ClientError: ") and re.search(reason, failure), failure
    assert "--" not in failure and "Traceback" not in failure
    assert " ERROR " in capsys.readouterr().out


def test_names_that_are_no_text_are_told_and_leftovers_removed(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="1")
    strange = root / "input/data/train" / os.fsdecode(b"\xff\xfe.jpg")
    try:
        shutil.copy(root / "input/data/train/000.jpg", strange)
    except OSError:
        pytest.skip("this file system takes text only")
    (root / "model" / ".abc.partial.safetensors").write_bytes(b"half")
    status, log = jobs.run(root)
    assert status == 0 and "1 left out" in log, log
    assert not list((root / "model").glob(".*"))


def test_a_stop_that_cannot_be_finished_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    root = jobs.make_job(tmp_path / "ml")
    (root / "model" / "bundle.json").write_text("{")
    monkeypatch.setattr(entry, "train", stopped)
    assert entry.run_training(Tree(root), StopRequest()) == 2
    assert "bundle.json is damaged" in (root / "output/failure").read_text()


def test_our_faults_are_algorithm_errors(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("a wheel came off, train loss: 1")

    monkeypatch.setattr(entry, "train", broken)
    root = jobs.make_job(tmp_path / "ml")
    assert entry.run_training(Tree(root), StopRequest()) == 1
    failure = (root / "output/failure").read_text()
    assert failure == "AlgorithmError: RuntimeError: a wheel came off, train loss: 1. The log holds the traceback."
    log = capfd.readouterr().out
    assert "Traceback (most recent call last)" in log and not re.search(METRIC_DEFINITIONS[2]["Regex"], log)


def test_a_failure_in_a_loader_is_told_by_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError(
            "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
            '  File "x.py", line 1, in f\nValueError: a wheel came off\n'
        )

    monkeypatch.setattr(entry, "train", broken)
    root = jobs.make_job(tmp_path / "ml")
    assert entry.run_training(Tree(root), StopRequest()) == 1
    failure = (root / "output/failure").read_text()
    assert failure == "AlgorithmError: ValueError: a wheel came off. The log holds the traceback."


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


@pytest.mark.parametrize("sign", [None, "Checkpoint loading", "LRScheduler", "completed"])
def test_sigterm_leaves_a_usable_model(tmp_path: Path, sign: str | None) -> None:
    """At the start of the image's process, while the data are read, before the first step, and while it trains."""
    root = jobs.make_job(tmp_path / "ml", epochs="5000", _logging_frequency="20")
    held = () if sign else ("env", "--block-signal=TERM")
    log = stopped_at(root, sign, (*held, *jobs.COMMAND))
    load_network(root / "model", LAST)
    begun = "stopped before a model was written" not in log
    assert bool(list((root / "checkpoints").glob("checkpoint-*"))) == begun
    assert begun or sign in (None, "Checkpoint loading")


def test_sigterm_while_a_late_fifo_is_waited_for_leaves_a_usable_model(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=("train", "validation"), mode="Pipe")
    config = root / "input/config/inputdataconfig.json"
    channels = json.loads(config.read_text())
    config.write_text(json.dumps({name: {**one, "RecordWrapperType": "RecordIO"} for name, one in channels.items()}))
    assert "holds the weights that training starts from" in stopped_at(root, "train: no label map")


def test_sigterm_while_a_restarted_job_reads_its_data_leaves_what_it_had_learnt(
    done: tuple[Path, str], tmp_path: Path
) -> None:
    root = jobs.make_job(tmp_path / "ml")
    status, log = jobs.run(root)
    assert status == 0, log
    learnt = {name: load_file(root / "model" / name) for name in (BEST, LAST)}
    before = read_description(root / "model")
    shutil.rmtree(root / "model")
    (root / "model").mkdir()
    assert "holds that of the newest checkpoint" in stopped_at(root, None)
    for name, weights in learnt.items():
        found = load_file(root / "model" / name)
        assert all(torch.equal(found[key], value) for key, value in weights.items())
    assert read_description(root / "model") == before
    assert len((root / "model/metrics.jsonl").read_text().splitlines()) == 2


HANGING = """
import sys, time
from segwright.interruption import hold_termination
hold_termination()
from segwright.container import termination
termination.GRACE = 2
from segwright.{module} import {name} as where
def hang(*_arguments, **_options):
    print("it hangs", flush=True)
    time.sleep(100)
where.{function} = hang
sys.argv[1:] = ["container", "train"]
from segwright.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "name", "function"), [("data", "readings", "read_one"), ("training.epoch", "Trainer", "_step")]
)
def test_sigterm_ends_a_job_that_hangs_with_a_usable_model(
    tmp_path: Path, module: str, name: str, function: str
) -> None:
    code = HANGING.format(module=module, name=name, function=function)
    log = stopped_at(jobs.make_job(tmp_path / "ml"), "it hangs", (sys.executable, "-c", code))
    assert "does not stop by itself" in log and "holds the weights that training starts from" in log


def test_a_job_that_does_not_know_its_classes_has_no_model_when_it_is_stopped_too_early(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = jobs.make_job(tmp_path / "ml", num_classes="3")
    config = root / "input/config/hyperparameters.json"
    settings = json.loads(config.read_text())
    del settings["num_classes"]
    config.write_text(json.dumps(settings))
    stop = StopRequest()
    stop.made = True
    assert entry.run_training(Tree(root), stop) == 0
    assert "there is none: nothing but the masks says how many classes there are" in capfd.readouterr().out
    assert not list((root / "model").iterdir()) and not (root / "output/failure").exists()


def test_a_stopped_job_takes_no_checkpoint_of_another_for_its_own(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="1")
    assert entry.run_training(Tree(root), StopRequest()) == 0
    shutil.rmtree(root / "model")
    (root / "model").mkdir()
    config = root / "input/config/hyperparameters.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "algorithm": "psp"}))
    stop = StopRequest()
    stop.made = True
    assert entry.run_training(Tree(root), stop) == 2
    assert "another algorithm: it was fcn, now it is psp" in (root / "output/failure").read_text()


def test_what_fails_after_a_wish_to_stop_ends_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopRequest()

    def broken(*_arguments: object, **_options: object) -> None:
        stop.made = True
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr(entry, "train", broken)
    root = jobs.make_job(tmp_path / "ml")
    (root / "model" / ".abc.partial.safetensors").write_bytes(b"half")
    assert entry.run_training(Tree(root), stop) == 0
    load_network(root / "model")
    assert not list((root / "model").glob(".*")) and not (root / "output/failure").exists()


def stopped_at(root: Path, sign: str | None, command: Sequence[str] = jobs.COMMAND) -> str:
    """Send a job SIGTERM at once, or when its log shows `sign`, and see it end in good order; its log from there on."""
    process = jobs.start(root, command=command)
    assert process.stdout is not None
    if sign is None:
        wait_until_it_can_be_told(process.pid)
    else:
        next(line for line in process.stdout if sign in line)
    process.terminate()
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert not (root / "output/failure").exists()
    load_network(root / "model")
    assert (root / "model/hyperparams.json").is_file()
    assert "Stopped; the model is in" in log
    return log


def wait_until_it_can_be_told(process: int) -> None:
    """Wait until a process holds back or handles SIGTERM: Python itself takes a moment until then."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        pytest.skip("only Linux tells what a process does with signals")
    mask = 1 << (signal.SIGTERM - 1)
    while not any(int(found, 16) & mask for found in re.findall(r"Sig(?:Blk|Cgt):\s+(\w+)", status.read_text())):
        time.sleep(0.005)


def test_a_spot_job_killed_thrice_ends_as_if_undisturbed(tmp_path: Path) -> None:
    whole = jobs.make_job(tmp_path / "whole", epochs="12", _workers="2")
    status, log = jobs.run(whole)
    assert status == 0 and "Checkpoint loading and saving are enabled" in log
    cut = jobs.make_job(tmp_path / "cut", epochs="12", _workers="2")
    reached = 0
    for _ in range(3):
        process = jobs.start(cut)
        deadline = time.monotonic() + 120
        while newest(cut) <= reached and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
        process.communicate()
        reached = newest(cut)
        shutil.rmtree(cut / "model")  # a new machine
        (cut / "model").mkdir()
    assert 3 <= reached < 12
    status, log = jobs.run(cut)
    assert status == 0 and f"going on after {2 * reached} updates" in log
    for file in (BEST, LAST):
        one, other = (load_file(root / "model" / file) for root in (whole, cut))
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert '"Reset Count": {"sum": 12,' in log and '"Total Records Seen": {"sum": 96,' in log


def newest(root: Path) -> int:
    """The number of the newest checkpoint."""
    files = (root / "checkpoints").glob("checkpoint-*")
    return max((int(file.name.split("-")[1]) for file in files), default=0)


def test_a_job_goes_on_from_an_earlier_model(done: tuple[Path, str], tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=(*jobs.FOUR, "model"), epochs="1")
    jobs.pack(done[0] / "model", root / "input/data/model/model.tar.gz")
    status, log = jobs.run(root)
    assert status == 0, log
    assert "starting from a trained model; its classes: kept by name: class 0, class 1, class 2" in log
    assert read_description(root / "model").started_from == str(root / "segwright/earlier-model")


def test_a_job_goes_on_from_a_model_of_the_original(tmp_path: Path) -> None:
    root = jobs.make_job(
        tmp_path / "ml",
        channels=(*jobs.FOUR, "model"),
        epochs="1",
        backbone="resnet-50",
        num_classes="5",
        crop_size="24",
        mini_batch_size="8",
    )
    artefact = tmp_path / "artefact"
    artefact.mkdir()
    (artefact / "model_best.params").write_bytes(write_params(recorded_arrays("fcn").items()))
    (artefact / "hyperparams.json").write_text(json.dumps({"backbone": "resnet-50", "num_classes": "5"}))
    jobs.pack(artefact, root / "input/data/model/model.tar.gz")
    status, log = jobs.run(root)
    assert status == 0, log
    assert "kept by name: class 0, class 1, class 2, class 3, class 4" in log
    moved = load_file(root / "model" / LAST)["backbone.features.layer1.0.conv1.weight"].numpy()
    first = recorded_arrays("fcn")["layer1.0.conv1.weight"]
    assert 0 < np.abs(moved - first).max() < 1e-2  # trained a little further from there


def test_a_model_channel_without_a_model_is_a_client_error(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=(*jobs.FOUR, "model"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no model")
    jobs.pack(tmp_path / "other", root / "input/data/model/model.tar.gz")
    assert entry.run_training(Tree(root), StopRequest()) == 2
    assert "holds notes.txt, but no model" in (root / "output/failure").read_text()


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


def test_all_gpus_are_used_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[int] = []

    def launch_them(_command: object, count: int, _stop: StopRequest, _grace: float) -> int:
        launched.append(count)
        return -signal.SIGKILL

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(entry, "launch", launch_them)
    monkeypatch.delenv("RANK", raising=False)
    root = jobs.make_job(tmp_path / "ml", mini_batch_size="3")
    assert entry.run_training(Tree(root), StopRequest()) == 1
    assert launched == [3], "no more than a batch has images"
    assert "killed by signal 9" in (root / "output/failure").read_text()
    stop = StopRequest()
    stop.made = True
    assert entry.run_training(Tree(root), stop) == 0
    assert launched == [3], "nor any for somebody who wishes to stop already"


def test_processes_that_do_not_stop_are_killed_and_leave_what_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = StopRequest()

    def hang(_command: object, count: int, stop: StopRequest, _grace: float) -> int:
        stop.made = True
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)"
        return launch((sys.executable, "-c", code), count, stop, 1)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(entry, "launch", hang)
    monkeypatch.delenv("RANK", raising=False)
    root = jobs.make_job(tmp_path / "ml")
    assert entry.run_training(Tree(root), stop) == 0
    assert read_description(root / "model").metrics == {"best": None, "last": None}
    assert "Stopped before it was trained" in (root / "model/README.md").read_text()


def test_a_stop_before_processes_are_launched_reaches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="2000")
    for name, value in jobs.environment(root).items():
        monkeypatch.setenv(name, value)
    stop = StopRequest()
    stop.made = True
    assert launch(jobs.COMMAND, 2, stop, 60) == 0
    load_network(root / "model")


def test_a_job_whose_copies_cannot_be_written_keeps_its_model(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="1")
    (root / "output/data").rmdir()
    (root / "output/data").write_text("no folder")
    assert entry.run_training(Tree(root), StopRequest()) == 0
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
