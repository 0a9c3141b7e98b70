"""Small trainings, in this process and in two."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import segwright
from segwright.training.train_step import TrainState
from tests.conftest import TINY_BACKBONE
from tests.helpers.processes import end_both, start_two

SMALL = {
    "backbone": TINY_BACKBONE,
    "use_pretrained_model": "False",
    "epochs": "2",
    "validate_every": "1",
    "mini_batch_size": "4",
    "crop_size": "32",
    "base_size": "48",
    "precision_dtype": "float32",
    "learning_rate": "0.01",
    "optimizer": "adam",
    "_workers": "0",
}


def settings(**values: str) -> segwright.Hyperparameters:
    """Small settings and the given ones; an empty text leaves one out."""
    given = {name: text for name, text in {**SMALL, **values}.items() if text}
    return segwright.Hyperparameters.from_strings(given)


def train(data: Path, output: Path, **values: str) -> Path:
    segwright.train(segwright.Channels.locate(data), output, settings(**values), device="cpu")
    return output


def records(bundle: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (bundle / "metrics.jsonl").read_text().splitlines()]


class KilledError(Exception):
    pass


@contextmanager
def killed_at(update: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the training within make `update` updates; what follows never happens."""
    step = TrainState.train_step

    def fatal(self: TrainState, *arguments: Any) -> Any:
        if self.updates == update:
            raise KilledError
        return step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(TrainState, "train_step", fatal)
        yield


def train_in_two(folder: Path, *arguments: str) -> list[tuple[int, str]]:
    """Train in two processes on the FIFOs in `pipes`; exit status and output of each."""
    small = ("--backbone", TINY_BACKBONE, "--no-use-pretrained-model", "--crop-size", "32", "--base-size", "48")
    given = ("--num-classes", "3", "--device", "cpu", "--input-mode", "Pipe", "--mini-batch-size", "3", *small)
    return end_both(start_two("train", "pipes", "--output", "model", *given, *arguments, cwd=folder))
