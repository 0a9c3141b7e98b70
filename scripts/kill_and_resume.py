"""Kill a training with SIGKILL at random moments, resume it each time, and compare its end with an undisturbed one.

python scripts/kill_and_resume.py [--kills 50] [--seed 0] [--workers 2]

It draws a small data set, trains on it undisturbed, then starts the same training again and again, each time for a
random while: the moments fall on steps, validations, checkpoints being written and start-ups alike. The end must have
the same bits. The test suite does the same with three kills.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

LOG = Path("kill_and_resume.log")
"""What the trainings say."""

FLAGS = (
    *("--backbone", "test_resnet", "--no-use-pretrained-model", "--device", "cpu", "--crop-size", "64"),
    *("--base-size", "96", "--mini-batch-size", "4", "--epochs", "120"),
)


def main() -> None:
    """Train, kill, resume, compare; the exit status says whether the bits are the same."""
    parser = argparse.ArgumentParser(description="Kill and resume a training; compare it with an undisturbed one.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segwright("sample", str(folder / "data"), "--images", "40", "--size", "96x72").wait()
        train = ("train", str(folder / "data"), *FLAGS, "--workers", str(arguments.workers))
        whole, cut = folder / "whole", folder / "cut"
        start = time.monotonic()
        finish(segwright(*train, "--output", str(whole)))
        print(f"undisturbed: {time.monotonic() - start:.0f} s", flush=True)
        again = (*train, "--output", str(cut), "--resume", "--checkpoint-every", "0.2")
        kill_often(again, cut, arguments.kills, random.Random(arguments.seed))
        finish(segwright(*again))
        differing = [file for file in ("model.safetensors", "last.safetensors") if not same(whole / file, cut / file)]
    print(f"after {arguments.kills} kills: " + (f"{', '.join(differing)} differ" if differing else "the same bits"))
    sys.exit(bool(differing))


def kill_often(command: tuple[str, ...], output: Path, kills: int, chance: random.Random) -> None:
    """Start the training and kill it, `kills` times, each time a random while after it has begun to write or later."""
    for number in range(1, kills + 1):
        before = newest(output)
        process = segwright(*command)
        # Most kills wait for a sign of life, or nothing would ever be reached; every fifth falls on the start-up.
        while number % 5 and newest(output) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.random() * (4.0 if number % 5 == 0 else 0.6))
        if process.poll() is not None:
            raise SystemExit(f"the training ended with status {process.returncode} before kill {number}: more epochs")
        process.kill()
        process.wait()
        print(f"kill {number}: {newest(output)[:19] or 'no checkpoint yet'}", flush=True)


def newest(output: Path) -> str:
    """The name of the newest checkpoint, or nothing."""
    folder = output.with_name(output.name + ".checkpoints")
    return max((file.name for file in folder.glob("checkpoint-*")), default="")


def segwright(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of ours."""
    return subprocess.Popen([sys.executable, "-m", "segwright", *arguments], stderr=LOG.open("a"))


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a command that has to succeed."""
    if process.wait():
        raise SystemExit(f"the training ended with status {process.returncode}")


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same arrays, bit for bit."""
    left, right = load_file(one), load_file(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


if __name__ == "__main__":
    main()
