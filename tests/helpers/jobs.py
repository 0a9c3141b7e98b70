"""Training jobs: the tree that SageMaker makes below a temporary root, and the entry, here or as a process."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image

from segwright.bundle import BEST_WEIGHTS
from segwright.sagemaker.paths import Paths
from segwright.sagemaker.train import run_training
from segwright.stopping import StopRequest
from tests.conftest import TINY_BACKBONE, blocks, restored_logging
from tests.helpers.processes import Process
from tests.helpers.sagemaker_tree import ml_tree_from_request

FOUR = ("train", "train_annotation", "validation", "validation_annotation")
SETTINGS = {
    "backbone": TINY_BACKBONE,
    "use_pretrained_model": "False",
    "num_classes": "3",
    "num_training_samples": "8",
    "epochs": "2",
    "mini_batch_size": "4",
    "crop_size": "32",
    "base_size": "48",
    "_workers": "0",
    "_logging_frequency": "1",
}
FLAG = r"(?<![\w./-])--[a-z]"
COMMAND = (sys.executable, "-m", "segwright", "container", "train")


def make_job(root: Path, *, channels: tuple[str, ...] = FOUR, mode: str = "File", **settings: str) -> Path:
    """The tree of a job with pictures in its four channels, as `ml_tree_from_request` makes it."""
    wrapper = "RecordIO" if mode == "Pipe" else "None"
    request: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": mode},
        "HyperParameters": {**SETTINGS, **settings},
        "InputDataConfig": [
            {"ChannelName": name, "DataSource": {"S3DataSource": {}}, "RecordWrapperType": wrapper} for name in channels
        ],
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"},
        "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
    }
    ml_tree_from_request(request, root)
    for split, count, first in (("train", 8, 0), ("validation", 3, 1000)):
        draw_pairs(root / "input/data", split, count, first)
    return root


def draw_pairs(data: Path, split: str, count: int, first: int) -> None:
    """Pictures of `split` and their masks, in their two folders below `data`."""
    images, masks = data / split, data / f"{split}_annotation"
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image, mask = blocks(first + index)
        Image.fromarray(image).save(images / f"{index:03}.jpg", quality=95)
        Image.fromarray(mask).save(masks / f"{index:03}.png")


def environment(root: Path, variables: Mapping[str, str] = {}) -> dict[str, str]:
    """What the container's process sees."""
    return {**os.environ, "SEGWRIGHT_ML_ROOT": str(root), "CUDA_VISIBLE_DEVICES": "", **variables}


def start(root: Path, variables: Mapping[str, str] = {}, *, command: Sequence[str] = COMMAND) -> subprocess.Popen[str]:
    """Start the entry `train` on a tree; both streams come together, as in CloudWatch."""
    return subprocess.Popen(
        command, env=environment(root, variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def fork(root: Path, before: Callable[[], object] = int) -> Process:
    """Start the entry `train` on a tree in a process that need not import Segwright."""
    return Process("container", "train", cwd=root, environment=environment(root), before=before)


def run(root: Path, variables: Mapping[str, str] = {}, *, stopped: bool = False) -> tuple[int, str]:
    """Run a job to its end in this process, with a stop request or without; its exit status and its log."""
    stop = StopRequest()
    stop.made = stopped
    with restored_logging(), redirect_stdout(io.StringIO()) as log:
        status = run_training(Paths(root, variables), stop)
    check_no_flags(log.getvalue())
    return status, log.getvalue()


def run_process(root: Path) -> tuple[int, str]:
    """Run a job to its end in a process of its own; its exit status and its log."""
    process = start(root)
    try:
        log, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    check_no_flags(log)
    return process.returncode, log


def check_no_flags(log: str) -> None:
    """A job has hyperparameters and channels: its log speaks of no flag of a command line."""
    assert not re.findall(f"{FLAG}.*", log)


def write_settings(root: Path, changes: Mapping[str, str | None]) -> None:
    """Change hyperparameters of a job; those that are None go."""
    file = root / "input/config/hyperparameters.json"
    settings = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))


def empty_model(root: Path) -> None:
    """Take away the model of a job, as a new machine does."""
    shutil.rmtree(root / "model")
    (root / "model").mkdir()


def failure(root: Path) -> str:
    """What a job has left in its failure file."""
    return (root / "output/failure").read_text()


def pack(folder: Path, archive: Path) -> None:
    """Pack a model folder as the platform does when a job has ended; an archive .tar is not compressed."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as packed:
        for entry in sorted(folder.iterdir()):
            packed.add(entry, entry.name)


def without_figures(log: str, root: Path) -> str:
    """A log with the root as `/opt/ml`, and times, threads and figures as letters.

    Which epoch is the best depends on rounding: of the lines that say so only the first, which is certain, stays. So
    does what is wrong with the model, after the few updates of a test.
    """
    text = re.sub(r"in epoch \d+", "in epoch N", log.replace(str(root), "/opt/ml"))
    text = re.sub(r"^\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (\w+) \d+\]", r"[TIME \1 THREAD]", text, flags=re.M)
    text = re.sub(r"(?<=WARNING THREAD\] ).* predicted.*", "VERDICT", text)
    lines = [line for line in text.splitlines() if "configuration" not in line]
    saved = f"Serializing model to /opt/ml/model/{BEST_WEIGHTS}"
    better = [number for number, line in enumerate(lines) if line.endswith(saved)]
    lines = [line for number, line in enumerate(lines) if number not in better[1:]]
    return "\n".join(_metrics(line) if line.startswith("#metrics ") else _figures(line) for line in lines) + "\n"


def _figures(line: str) -> str:
    return re.sub(r"\d+\.\d+(?:e-\d+)?", "N", line)


def _metrics(line: str) -> str:
    """A `#metrics` line: its times are figures, its counts have to be right."""
    content = json.loads(line.removeprefix("#metrics "))
    content["StartTime"] = content["EndTime"] = "N"
    for name, values in content["Metrics"].items():
        if name.endswith("time"):
            values.update(sum="N", min="N", max="N")
    return f"#metrics {json.dumps(content)}"
