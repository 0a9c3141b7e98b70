"""The commands from drawn pictures to masks: here, as processes that are stopped, and as two that train together."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segwright.bundle import load_network, read_description
from segwright.cli import main
from segwright.training.precision_cost import can_compare
from tests.conftest import TINY_BACKBONE, restored_logging
from tests.helpers.processes import Process, end_both, start_two

SMALL = [
    *("--backbone", TINY_BACKBONE, "--no-use-pretrained-model", "--device", "cpu"),
    *("--crop-size", "64", "--base-size", "96", "--mini-batch-size", "4", "--workers", "1"),
    *("--validate-every", "1"),
]
VALIDATED = ("data/train", "data/train_annotation")  # enough images to choose a scale
TOGETHER = [
    *("--epochs", "4", *SMALL, "--resume", "--checkpoint-every", "0.001"),
    *("--validation", VALIDATED[0], "--validation-annotation", VALIDATED[1]),
]


@dataclass
class Done:
    """A command that was run in this process."""

    returncode: int
    stdout: str
    stderr: str


def segwright(*arguments: str | Path, cwd: Path) -> Done:
    with (
        restored_logging(),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(io.StringIO()) as messages,
    ):
        status = main([*map(str, arguments)])
    return Done(status, output.getvalue(), messages.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sample data set and a model trained on it for one epoch."""
    folder = tmp_path_factory.mktemp("end to end")
    drawn = segwright("sample", "data", "--images", "10", "--size", "96x72", "--seed", "3", cwd=folder)
    assert drawn.returncode == 0, drawn.stderr
    trained = segwright("train", "data", "--output", "model", "--epochs", "1", *SMALL, cwd=folder)
    assert trained.returncode == 0, trained.stderr
    assert "validation mean IoU" in trained.stderr and "Traceback" not in trained.stderr
    assert re.search(r"mean Dice 0\.\d{4}.*\n  IoU: sky \d.*\n  Dice: sky \d", trained.stderr)
    assert "train: label map: pixel value 23 is sky, 11 is building" in trained.stderr and "{" not in trained.stderr
    return folder


@pytest.fixture(scope="module")
def together(folder: Path) -> str:
    """What two processes that `torchrun` has started print while they train the model `together`."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "segwright", "train", "data", "--output", "together", *TOGETHER),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_bundle_carries_what_the_sample_says(folder: Path) -> None:
    description = read_description(folder / "model")
    assert description.class_names[:2] == ("sky", "building")
    assert description.label_map("train").values is not None
    palette = {entry.colour for entry in description.classes}
    assert len(palette) == 7, "the colours come from the palette of the masks"


def test_evaluate_writes_the_keys_that_it_promises(folder: Path) -> None:
    done = segwright(
        *("evaluate", "model", "--images", "data/test", "--masks", "data/test_annotation"),
        *("--label-map", "data/label_map/train_label_map.json", "--json", "scores.json"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((folder / "scores.json").read_text())
    of_borders = ("mean_boundary_f", "mean_boundary_iou")
    assert set(scores) == {"mean_iou", "mean_iou_present", "mean_dice", "pixel_accuracy", "per_class", *of_borders}
    keys = {"index", "name", "iou", "dice", "precision", "recall", "support", "boundary_f", "boundary_iou"}
    assert all(set(entry) == keys for entry in scores["per_class"])
    assert set(scores["mean_boundary_f"]) == {"1", "2", "4"}
    assert f"mean boundary F-score {scores['mean_boundary_f']['2']:.4f} within 2 pixels" in done.stdout
    assert f"mean IoU {scores['mean_iou']:.4f}" in done.stdout and f"mean Dice {scores['mean_dice']:.4f}" in done.stdout


def test_predict_writes_masks_at_the_images_size(folder: Path) -> None:
    done = segwright("predict", "model", "data/test", "--output", "masks", "--overlay", cwd=folder)
    assert done.returncode == 0, done.stderr
    for image in (folder / "data" / "test").iterdir():
        with Image.open(folder / "masks" / f"{image.stem}.png") as mask:
            assert mask.size == (96, 72) and np.asarray(mask).max() < 7
        assert (folder / "masks" / f"{image.stem}.overlay.png").is_file()
    again = segwright("predict", "model", "data/test", "--output", "masks", cwd=folder)
    assert again.returncode == 2 and "overwrite" in again.stderr


def test_inspect_prints_a_table_and_writes_a_page(folder: Path) -> None:
    done = segwright("inspect", "data", "--json", "found.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "lane marking" in done.stdout and "note: train: there are only 6 pairs" in done.stdout
    assert "lane marking" in (folder / "segwright-inspect.html").read_text()
    assert json.loads((folder / "found.json").read_text())["refused"] is False


def test_masks_of_0_and_255_meet_the_label_map_that_cures_them(folder: Path) -> None:
    data = folder / "vessels"
    for channel in ("train", "validation"):
        (data / channel).mkdir(parents=True)
        (data / f"{channel}_annotation").mkdir()
        for index in range(2):
            mask = np.zeros((32, 32), np.uint8)
            mask[8:20, 4 * index :] = 255
            Image.fromarray(np.dstack([mask] * 3)).save(data / channel / f"{index}.jpg")
            Image.fromarray(mask).save(data / f"{channel}_annotation" / f"{index}.png")
    refused = segwright("train", "vessels", "--output", "vessel-model", *SMALL, cwd=folder)
    assert refused.returncode == 2
    cure = '{"map": {"0": 0, "1": 255}}'
    assert cure in refused.stderr and len(refused.stderr.strip().splitlines()) <= 4
    assert not (folder / "vessel-model").exists()
    (data / "label_map").mkdir()
    (data / "label_map" / "train_label_map.json").write_text(cure)
    trained = segwright("train", "vessels", "--output", "vessel-model", "--epochs", "1", *SMALL, cwd=folder)
    assert trained.returncode == 0, trained.stderr
    assert len(read_description(folder / "vessel-model").classes) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is a POSIX signal here")
def test_ctrl_c_leaves_a_usable_model(folder: Path) -> None:
    process = Process("train", "data", "--output", "stopped", "--epochs", "500", *SMALL, cwd=folder)
    deadline = time.monotonic() + 150
    while not (folder / "stopped" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send(signal.SIGINT)  # as a terminal does: the loaders get it, too
    status, messages = process.end(60)
    assert status == 130, messages
    assert "holds a usable model" in messages and "Traceback" not in messages
    load_network(folder / "stopped")
    load_network(folder / "stopped", "last.safetensors")


def test_two_processes_train_together(folder: Path, together: str) -> None:
    assert together.count("; the model is in ") == 1
    assert together.count("train: 6 pairs") == 1, "what the first process says is not said again"
    assert together.count("inference scale ") == 1, "each has scored its share of the images at other scales"
    description = read_description(folder / "together")
    best, images = description.metrics["best"], len(list((folder / VALIDATED[0]).iterdir()))
    assert f"on {images} validation images" in together and description.temperature
    assert not can_compare(torch.device("cpu")) or description.precisions["bfloat16"].images == images
    alone = segwright(
        *("evaluate", "together", "--images", VALIDATED[0], "--masks", VALIDATED[1], "--json", "together.json"),
        cwd=folder,
    )
    assert alone.returncode == 0, alone.stderr
    scores = json.loads((folder / "together.json").read_text())
    assert scores["mean_iou"] == pytest.approx(best["mean_iou"], abs=1e-9)


def test_two_processes_killed_and_resumed_end_with_the_same_bits(folder: Path, together: str) -> None:
    command = ["train", "data", "--output", "cut", *TOGETHER]
    processes = start_two(*command, cwd=folder)
    deadline = time.monotonic() + 150
    while not any(file.name > "checkpoint-00000003" for file in folder.glob("cut.checkpoints/checkpoint-*")):
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
        time.sleep(0.002)
    for process in processes:
        process.kill()
    end_both(processes)
    statuses = end_both(start_two(*command, cwd=folder))
    assert [status for status, _ in statuses] == [0, 0], statuses
    assert "continuing after" in statuses[0][1]
    _, expected = load_network(folder / "together", "last.safetensors")
    _, got = load_network(folder / "cut", "last.safetensors")
    state = got.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in expected.state_dict().items())


def test_an_error_of_the_first_process_is_printed_once(folder: Path) -> None:
    statuses = end_both(start_two("train", "data", "--output", "model", *SMALL, cwd=folder))
    assert all(status for status, _ in statuses)
    output = "".join(text for _, text in statuses)
    assert output.count("error: ") == output.count("model exists already") == 1
