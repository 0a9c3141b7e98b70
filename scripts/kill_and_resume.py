"""Kill a training with SIGKILL at random moments, start it again, and compare its end with that of an undisturbed one.

python scripts/kill_and_resume.py [--kills 50] [--seed 0] [--workers 2] [--job]

It draws a small data set, trains on it undisturbed, then starts the same training again and again, each time for a
random while: the moments fall on steps, validations and start-ups, and every third on a checkpoint that is being
written. The end must have the same bits. With --job it is a SageMaker job: the container's entry on a tree below
`/opt/ml`, whose model folder is emptied after each kill, as on a new machine. The test suite does both with three
kills.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file

LOG = Path("kill_and_resume.log")
"""What the trainings say."""

SETTINGS = {
    "backbone": "test_resnet",
    "use_pretrained_model": "False",
    "crop_size": "64",
    "base_size": "96",
    "mini_batch_size": "4",
    "epochs": "120",
    "validate_every": "1",
}
CHANNELS = ("train", "train_annotation", "validation", "validation_annotation", "label_map")


@dataclass(frozen=True)
class Training:
    """A training that can be started, killed and started again."""

    arguments: tuple[str, ...]
    model: Path
    checkpoints: Path
    variables: dict[str, str] = field(default_factory=dict)
    is_job: bool = False

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it, or go on with it."""
        log = LOG.open("a")
        environment = {**os.environ, **self.variables}
        command = [sys.executable, "-m", "segwright", *self.arguments]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def finish(self) -> None:
        """Run it to its end, which has to be a success."""
        status = self.start().wait()
        if status:
            raise SystemExit(f"the training ended with status {status}")

    def newest(self) -> str:
        """The name of the newest checkpoint, or nothing."""
        return max((file.name for file in self.checkpoints.glob("checkpoint-*")), default="")

    def writes(self) -> bool:
        """Whether a checkpoint is being written."""
        return any(self.checkpoints.glob(".*.partial*"))

    def lose_machine(self) -> None:
        """Forget what a new machine would not have."""
        if self.is_job:
            shutil.rmtree(self.model)
            self.model.mkdir()


def main() -> None:
    """Train, kill, resume, compare; the exit status says whether the bits are the same."""
    parser = argparse.ArgumentParser(description="Kill and resume a training; compare it with an undisturbed one.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--job", action="store_true", help="train as a SageMaker job does")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = [
            sys.executable,
            "-m",
            "segwright",
            "sample",
            str(folder / "data"),
            "--images",
            "40",
            "--size",
            "96x72",
        ]
        subprocess.run(sample, check=True, stderr=subprocess.DEVNULL)
        prepare = job if arguments.job else command
        whole, cut = (prepare(folder, part, arguments.workers) for part in ("whole", "cut"))
        start = time.monotonic()
        whole.finish()
        print(f"undisturbed: {time.monotonic() - start:.0f} s", flush=True)
        kill_often(cut, arguments.kills, random.Random(arguments.seed))
        cut.finish()
        files = ("model.safetensors", "last.safetensors")
        differing = [file for file in files if not same(whole.model / file, cut.model / file)]
    print(f"after {arguments.kills} kills: " + (f"{', '.join(differing)} differ" if differing else "the same bits"))
    sys.exit(bool(differing))


def command(folder: Path, part: str, workers: int) -> Training:
    """A training by command line."""
    output = folder / part
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    often = ("--resume", "--checkpoint-every", "0.2")
    arguments = ("train", str(folder / "data"), "--output", str(output), *flags, "--workers", str(workers), *often)
    return Training((*arguments, "--device", "cpu"), output, output.with_name(part + ".checkpoints"))


def job(folder: Path, part: str, workers: int) -> Training:
    """A SageMaker job on a tree of its own."""
    root = folder / part
    config = root / "input" / "config"
    for made in (config, root / "model", root / "checkpoints", root / "input" / "data"):
        made.mkdir(parents=True)
    for channel in CHANNELS:
        (root / "input" / "data" / channel).symlink_to(folder / "data" / channel)
    settings = {**SETTINGS, "num_classes": "7", "_workers": str(workers)}
    (config / "hyperparameters.json").write_text(json.dumps(settings))
    (config / "inputdataconfig.json").write_text(json.dumps({name: {"TrainingInputMode": "File"} for name in CHANNELS}))
    variables = {"SEGWRIGHT_ML_ROOT": str(root), "CUDA_VISIBLE_DEVICES": ""}
    return Training(("container", "train"), root / "model", root / "checkpoints", variables, is_job=True)


def kill_often(training: Training, kills: int, chance: random.Random) -> None:
    """Start the training and kill it, `kills` times."""
    for number in range(1, kills + 1):
        before = training.newest()
        process = training.start()
        during_start = number % 5 == 0
        # Most kills wait for a sign of life, or nothing would ever be reached; every fifth falls on the start-up.
        while not during_start and training.newest() == before and process.poll() is None:
            time.sleep(0.01)
        while number % 3 == 0 and not during_start and not training.writes() and process.poll() is None:
            pass
        if number % 3 or during_start:
            time.sleep(chance.random() * (4.0 if during_start else 0.6))
        if process.poll() is not None:
            raise SystemExit(f"the training ended with status {process.returncode} before kill {number}: more epochs")
        process.kill()
        moment = ", a checkpoint half written" if training.writes() else ""
        process.wait()
        training.lose_machine()
        print(f"kill {number}: {training.newest()[:19] or 'no checkpoint yet'}{moment}", flush=True)


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same arrays, bit for bit."""
    left, right = load_file(one), load_file(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


if __name__ == "__main__":
    main()
