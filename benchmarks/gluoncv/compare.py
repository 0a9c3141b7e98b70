"""Loss curves of live GluonCV and of Segwright on CamVid, from the same weights: do they overlap?

python benchmarks/gluoncv/compare.py DATA BACKBONE_WEIGHTS GLUONCV_PYTHON OUTPUT

DATA is CamVid (train/*.jpg, train_annotation/*.png), BACKBONE_WEIGHTS timm's `resnet50` as .safetensors,
GLUONCV_PYTHON VENV/bin/python of the environment that environment.sh makes. It runs in the project's own environment,
which needs matplotlib besides. Both train FCN ResNet-50 with every seed in turn; OUTPUT receives curves.json, after
each training, and curves.png; the table is printed. A seed decides the order of the pictures, the crops and the
dropout, never the weights.
"""

import argparse
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segwright.data.folders import find_pairs
from segwright.data.loader import Batch, training_loader
from segwright.distributed import Distributed
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap
from segwright.mxnet.state_dict import to_state_dict, torch_name
from segwright.networks import NetworkSpec, build_network
from segwright.training.optimizers import learning_rate
from segwright.training.train_step import EpochSums, TrainState

HERE = Path(__file__).parent
GLUONCV, SEGWRIGHT = "GluonCV", "Segwright"
WINDOWS = 4
CLASSES = 11
Curves = dict[str, dict[int, list[float]]]
"""Framework -> seed -> loss of each step."""


@dataclass(frozen=True)
class Setup:
    """What both frameworks have in common."""

    steps: int
    batch: int
    learning_rate: float
    base_size: int
    crop_size: int


def train_gluoncv(python: Path, seed: int, weights: Path, data: Path, setup: Setup) -> list[float]:
    """Train live GluonCV in its own environment; return the loss of each step."""
    script = str(HERE / "train_gluoncv.py")
    numbers = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(setup).items()]
    command = [str(python), script, str(data), str(weights), f"--seed={seed}", *numbers]
    losses: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            figures = json.loads(line)
            if "loss" in figures:
                losses.append(figures["loss"])
                report(GLUONCV, seed, setup, losses)
    if process.returncode or len(losses) != setup.steps:
        raise SystemExit(f"{script} ended with {process.returncode} after {len(losses)} steps")
    return losses


def train_segwright(seed: int, weights: Path, data: Path, setup: Setup) -> list[float]:
    """Train ours in this process; return the loss of each step, measured as train_gluoncv.py does.

    That is the mean over ALL pixels of the batch, void ones counting as 0, main term plus 0.5 times the
    auxiliary one, before the update.
    """
    settings = Hyperparameters(
        recipe="sagemaker",
        num_classes=CLASSES,
        mini_batch_size=setup.batch,
        learning_rate=setup.learning_rate,
        base_size=setup.base_size,
        crop_size=setup.crop_size,
        epochs=1,
        logging_frequency=1,
        seed=seed,
    )
    torch.manual_seed(seed)  # dropout
    network = build_network(NetworkSpec("fcn", "resnet-50", CLASSES))
    with np.load(weights) as arrays:
        network.load_state_dict(to_state_dict({torch_name(name): array for name, array in arrays.items()}, network))
    trainer = TrainState(network, settings, Distributed(), torch.device("cpu"), torch.float32)
    losses: list[float] = []

    sums = EpochSums()

    def note(_images: int) -> None:
        losses.append(sums.latest_loss)
        report(SEGWRIGHT, seed, setup, losses)

    steps = itertools.islice(batches(data, settings), setup.steps)
    trainer.train_epoch(steps, partial(learning_rate, settings, updates_per_epoch=setup.steps), sums, note)
    return losses


def batches(data: Path, settings: Hyperparameters) -> Iterator[Batch]:
    """Our batches without end; as in GluonCV, the rest of an epoch rolls over and padding is class 0."""
    pairs = find_pairs(data / "train", data / "train_annotation").pairs
    as_gluoncv = {"workers": 0, "padding": "class-0", "last_batch": "rollover", "augmentation_type": "default"}
    loader = training_loader(pairs, LabelMap.identity(), settings.model_copy(update=as_gluoncv))
    for epoch in itertools.count():
        yield from loader.epoch(epoch)


def main() -> None:
    """Train both with each seed in turn, write curves and plot, print the table."""
    arguments = _arguments()
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit(f"the plot needs matplotlib: {sys.executable} -m pip install matplotlib")
    arguments.output.mkdir(parents=True, exist_ok=True)
    setup = Setup(arguments.steps, arguments.batch, arguments.learning_rate, arguments.base_size, arguments.crop_size)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "start.npz"
        run("starting_weights.py", arguments.backbone_weights, weights)
        curves = train_both(arguments, weights, setup)
    print(table(curves, setup.steps))
    run("plot.py", arguments.output / "curves.json", arguments.output / "curves.png")


def train_both(arguments: argparse.Namespace, weights: Path, setup: Setup) -> Curves:
    """Train seed after seed, framework after framework; what is done is always in curves.json."""
    curves: Curves = {GLUONCV: {}, SEGWRIGHT: {}}
    seconds: dict[str, dict[int, float]] = {GLUONCV: {}, SEGWRIGHT: {}}
    for seed in range(arguments.seeds):
        for framework in curves:
            start = time.monotonic()
            losses = (
                train_gluoncv(arguments.gluoncv_python, seed, weights, arguments.data, setup)
                if framework == GLUONCV
                else train_segwright(seed, weights, arguments.data, setup)
            )
            curves[framework][seed] = losses
            seconds[framework][seed] = round(time.monotonic() - start, 1)
            content = {"setup": asdict(setup), "seconds": seconds, "curves": curves}
            (arguments.output / "curves.json").write_text(json.dumps(content))
    return curves


def table(curves: Curves, steps: int) -> str:
    """Mean losses over quarters of the training, and how far apart the frameworks are beside the seeds."""
    bounds = [round(steps * number / WINDOWS) for number in range(WINDOWS + 1)]
    windows = list(itertools.pairwise(bounds))
    means = {
        framework: {
            seed: [statistics.fmean(losses[start:end]) for start, end in windows] for seed, losses in by_seed.items()
        }
        for framework, by_seed in curves.items()
    }
    rows = [row("mean loss of steps", [f"{start + 1}-{end}" for start, end in windows])]
    for framework, by_seed in means.items():
        rows += [row(f"{framework}, seed {seed}", [f"{mean:.3f}" for mean in each]) for seed, each in by_seed.items()]
    columns = {framework: list(zip(*by_seed.values(), strict=True)) for framework, by_seed in means.items()}
    for framework, values in columns.items():
        rows.append(row(f"{framework}, lowest to highest", [f"{min(each):.3f}-{max(each):.3f}" for each in values]))
    return "\n".join(rows + _beside(columns[GLUONCV], columns[SEGWRIGHT]))


def _beside(theirs: list[tuple[float, ...]], ours: list[tuple[float, ...]]) -> list[str]:
    pairs = list(zip(theirs, ours, strict=True))
    gaps = [statistics.fmean(one) - statistics.fmean(other) for other, one in pairs]
    spreads = [max(max(each) - min(each) for each in pair) for pair in pairs]
    overlaps = [max(map(min, pair)) <= min(map(max, pair)) for pair in pairs]
    return [
        row(f"mean of {SEGWRIGHT} less {GLUONCV}", [f"{gap:+.3f}" for gap in gaps]),
        row("larger spread of the seeds", [f"{spread:.3f}" for spread in spreads]),
        row("ranges overlap", ["yes" if overlap else "NO" for overlap in overlaps]),
    ]


def row(title: str, cells: list[str]) -> str:
    """A line of a Markdown table."""
    return f"| {title:<32} | " + " | ".join(f"{cell:>11}" for cell in cells) + " |"


def report(framework: str, seed: int, setup: Setup, losses: list[float]) -> None:
    """Say every 20 steps how far a training is."""
    if len(losses) % 20 == 0:
        recent = statistics.fmean(losses[-20:])
        print(f"{framework}, seed {seed}: step {len(losses)} of {setup.steps}, loss {recent:.3f}", flush=True)


def run(script: str, *arguments: Any) -> None:
    """Run a neighbour of this script with the same Python."""
    subprocess.run([sys.executable, str(HERE / script), *map(str, arguments)], check=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the loss curves of GluonCV and Segwright on CamVid.")
    for name in ("data", "backbone_weights", "gluoncv_python", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--base-size", type=int, default=208)
    parser.add_argument("--crop-size", type=int, default=96)
    return parser.parse_args()


if __name__ == "__main__":
    main()
