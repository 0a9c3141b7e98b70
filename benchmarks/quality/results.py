"""Runs and their results: what identifies a run, the lines of results.jsonl, and the runs that are to be done."""

import json
import shlex
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sets import SETS

RESULTS = Path(__file__).with_name("results.jsonl")
OURS = "ours"
Line = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One training: the same fields, the same run."""

    set: str
    system: str
    name: str = ""
    """Of a row of an ablation, or of a variant of a peer; empty for the system as it is."""
    options: str = ""
    """Additional arguments of the training."""
    seed: int = 0
    fold: int = 0
    minutes: float = 25

    @property
    def key(self) -> str:
        """A name for folders."""
        variant = f"-{zlib.crc32(self.options.encode()):08x}" if self.options else ""
        name = f"-{self.name}" if self.name else ""
        return f"{self.set}-{self.fold}-{self.system}{name}{variant}-{self.minutes:g}min-seed{self.seed}"

    @property
    def command(self) -> str:
        """What does it, for a shell."""
        words = [sys.executable, sys.argv[0], "run"]
        for field, value in asdict(self).items():
            if value != getattr(Run, field, None):
                words += [f"--{field}", f"{value:g}" if isinstance(value, float) else str(value)]
        return shlex.join(words)


def read() -> dict[Run, Line]:
    """The results by run; of several of one run, the last one."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    results = {}
    for line in map(json.loads, lines):
        results[Run(**{field: line[field] for field in Run.__dataclass_fields__})] = line
    return results


def append(run: Run, figures: Line) -> None:
    """Add a line."""
    with RESULTS.open("a") as file:
        file.write(json.dumps({**asdict(run), **figures}) + "\n")


def headline(set_name: str, scores: Line) -> float:
    """The figure that leads: mean IoU, or Dice of the last class."""
    figures = scores["all pixels"]
    if SETS[set_name].headline == "mean IoU":
        return float(figures["mean_iou"])
    return float(figures["dice"][SETS[set_name].class_names[-1]])


def planned(results: dict[Run, Line]) -> Iterator[Run]:
    """The runs of the comparison, without ablations. CamVid's best peer is known when each has run once."""
    peers = ("smp-deeplabv3plus", "smp-unet", "torchvision", "ultralytics")
    first = [Run("camvid", system) for system in (OURS, *peers)]
    yield from first
    yield Run("camvid", OURS, minutes=60)
    for fold in range(SETS["retina"].folds):
        yield Run("retina", OURS, fold=fold, minutes=15)
        yield Run("retina", "smp-unet", fold=fold, minutes=15)
    yield Run("retina", "nnunet", minutes=15)
    for system in (OURS, *peers, "nnunet"):
        yield Run("nuclei", system, minutes=15)
    best = max(first[1:], key=lambda run: headline("camvid", results[run]["test"]) if run in results else -1)
    for seed in (1, 2):
        yield Run("camvid", OURS, seed=seed)
        if all(run in results for run in first):
            yield Run("camvid", best.system, seed=seed)
