"""Training jobs: the tree that SageMaker makes, the entry, what it leaves."""

import json
import os
import re
import shutil
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segwright.bundle import LAST_WEIGHTS, load_network, read_description
from segwright.data.pipe_server import serve_pipes
from segwright.sagemaker import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS
from segwright.sagemaker import train as entry
from segwright.sagemaker.launcher import launch
from segwright.sagemaker.paths import Paths
from segwright.stopping import StopRequest
from segwright.training.run import Training
from tests.helpers import jobs
from tests.helpers.gluoncv import recorded_arrays
from tests.helpers.mxnet_params_writer import write_params

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
    status, log = jobs.run_process(root)
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
    assert description.network.num_classes == 3 and (root / "model" / LAST_WEIGHTS).is_file()
    given = json.loads((root / "model/hyperparams.json").read_text())
    assert given["num_classes"] == "3" and given["_aux_loss"] == "True" and given["algorithm"] == "fcn"
    assert (root / "output/data/metrics.jsonl").read_bytes() == (root / "model/metrics.jsonl").read_bytes()
    assert not (root / "output/failure").exists()


def test_a_pipe_job_reads_its_fifos(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=("train", "validation"), mode="Pipe", epochs="1")
    data = root / "input/data"
    data.rename(tmp_path / "pictures")
    data.mkdir()
    for split in ("train", "validation"):
        pictures = sorted((tmp_path / "pictures" / split).iterdir())
        lines = (
            json.dumps({"source-ref": f"{split}/{one.name}", "label-ref": f"{split}_annotation/{one.stem}.png"})
            for one in pictures
        )
        (tmp_path / "pictures" / f"{split}.manifest").write_text("\n".join(lines) + "\n")
    manifests = {split: tmp_path / "pictures" / f"{split}.manifest" for split in ("train", "validation")}
    threading.Thread(target=serve_pipes, args=(manifests, data), daemon=True).start()
    status, log = jobs.run(root)
    assert status == 0, log
    assert "validation mIOU: " in log and '"Total Records Seen": {"sum": 8,' in log
    load_network(root / "model")


@pytest.mark.parametrize(
    ("settings", "spoil", "reason"),
    [
        ({"epochs": "0"}, None, r'epochs is "0"'),
        ({"num_clases": "3"}, None, r"num_clases.*num_classes"),
        ({"num_classes": "2"}, None, r"num_classes 2.*002?\.png.*label_map"),
        ({}, "validation_annotation", r"validation_annotation.*holds no masks"),
    ],
)
def test_the_users_faults_are_client_errors(
    tmp_path: Path, settings: dict[str, str], spoil: str | None, reason: str
) -> None:
    root = jobs.make_job(tmp_path / "ml")
    jobs.write_settings(root, settings)
    if spoil:
        shutil.rmtree(root / "input/data" / spoil)
        (root / "input/data" / spoil).mkdir()
    status, log = jobs.run(root)
    assert status == 2 and " ERROR " in log
    failure = jobs.failure(root)
    assert failure.startswith("ClientError: ") and re.search(reason, failure), failure
    assert "--" not in failure and "Traceback" not in failure


def test_names_that_are_no_text_are_logged_and_leftovers_removed(tmp_path: Path) -> None:
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


def test_our_faults_are_algorithm_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("a wheel came off, train loss: 1")

    monkeypatch.setattr(Training, "run", broken)
    root = jobs.make_job(tmp_path / "ml")
    status, log = jobs.run(root)
    assert status == 1
    assert jobs.failure(root) == (
        "AlgorithmError: RuntimeError: a wheel came off, train loss: 1. The log holds the traceback."
    )
    assert "Traceback (most recent call last)" in log and not re.search(METRIC_DEFINITIONS[2]["Regex"], log)


def test_a_failure_in_a_loader_is_reported_by_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError(
            "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
            '  File "x.py", line 1, in f\nValueError: a wheel came off\n'
        )

    monkeypatch.setattr(Training, "run", broken)
    root = jobs.make_job(tmp_path / "ml")
    assert jobs.run(root)[0] == 1
    assert jobs.failure(root) == "AlgorithmError: ValueError: a wheel came off. The log holds the traceback."


def test_a_job_goes_on_from_an_earlier_model(done: tuple[Path, str], tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=(*jobs.FOUR, "model"), epochs="1")
    jobs.pack(done[0] / "model", root / "input/data/model/model.tar.gz")
    status, log = jobs.run(root)
    assert status == 0, log
    assert "starting from a trained model; its classes: kept by name: class 0, class 1, class 2" in log
    assert read_description(root / "model").started_from == str(root / "segwright/parent-model")


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
    jobs.pack(artefact, root / "input/data/model/model.tar")
    status, log = jobs.run(root)
    assert status == 0, log
    assert "kept by name: class 0, class 1, class 2, class 3, class 4" in log
    moved = load_file(root / "model" / LAST_WEIGHTS)["backbone.features.layer1.0.conv1.weight"].numpy()
    first = recorded_arrays("fcn")["layer1.0.conv1.weight"]
    assert 0 < np.abs(moved - first).max() < 1e-2  # trained a little further from there


def test_a_model_channel_without_a_model_is_a_client_error(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", channels=(*jobs.FOUR, "model"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no model")
    jobs.pack(tmp_path / "other", root / "input/data/model/model.tar.gz")
    assert jobs.run(root)[0] == 2
    assert "holds notes.txt, but no model" in jobs.failure(root)


def test_all_gpus_are_used_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[int] = []

    def launch_them(_command: object, count: int, _stop: StopRequest, _grace: float) -> int:
        launched.append(count)
        return -signal.SIGKILL

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(entry, "launch", launch_them)
    monkeypatch.delenv("RANK", raising=False)
    root = jobs.make_job(tmp_path / "ml", mini_batch_size="3")
    assert jobs.run(root)[0] == 1
    assert launched == [3], "no more than a batch has images"
    assert "killed by signal 9" in jobs.failure(root)
    assert jobs.run(root, stopped=True)[0] == 0
    assert launched == [3], "nor any after a stop request"


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
    assert entry.run_training(Paths(root), stop) == 0
    assert read_description(root / "model").metrics == {"best": None, "last": None}
    assert "Stopped before it was trained" in (root / "model/README.md").read_text()


def test_a_job_whose_copies_cannot_be_written_keeps_its_model(tmp_path: Path) -> None:
    root = jobs.make_job(tmp_path / "ml", epochs="1")
    (root / "output/data").rmdir()
    (root / "output/data").write_text("no folder")
    assert jobs.run(root)[0] == 0
    load_network(root / "model")
