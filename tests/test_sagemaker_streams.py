"""Jobs in Pipe mode whose CheckpointConfig holds what another job has learnt, or the job itself."""

import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segwright.bundle import LAST_WEIGHTS, read_description
from segwright.data.pipe_server import serve_pipes
from tests.helpers import jobs
from tests.helpers.files import write_manifest

JOB_A, JOB_B = ({"TRAINING_JOB_ARN": f"arn:aws:sagemaker:eu-west-1:1:training-job/{name}"} for name in "ab")


class Jobs:
    """Jobs with the same checkpoints, each on a machine of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = 0
        for first in (0, 100):
            jobs.draw_pairs(root / f"pictures{first}", "train", 8, first)
            jobs.draw_pairs(root / f"pictures{first}", "validation", 3, first + 1000)

    def __call__(
        self, pictures: int, variables: Mapping[str, str], *, seed: int | None = None, stopped: bool = False
    ) -> tuple[int, str, Path]:
        """Run a job on the stream of some pictures, perhaps shuffled; its status, its log, and its tree."""
        self.number += 1
        root = self.root / f"ml{self.number}"
        jobs.make_job(root, channels=("train", "validation"), mode="Pipe", epochs="1")
        shutil.rmtree(root / "input/data")
        shutil.rmtree(root / "checkpoints")
        (self.root / "checkpoints").mkdir(exist_ok=True)
        (root / "checkpoints").symlink_to(self.root / "checkpoints")
        manifests = {split: self._manifest(pictures, split) for split in ("train", "validation")}
        options = {"shuffle_seed": seed}
        threading.Thread(target=serve_pipes, args=(manifests, root / "input/data"), kwargs=options, daemon=True).start()
        return *jobs.run(root, variables, stopped=stopped), root

    def _manifest(self, pictures: int, split: str) -> Path:
        folder = self.root / f"pictures{pictures}"
        lines: list[dict[str, object]] = [
            {"source-ref": f"{split}/{image.name}", "label-ref": f"{split}_annotation/{image.stem}.png"}
            for image in sorted((folder / split).iterdir())
        ]
        return write_manifest(folder / f"{split}.manifest", lines)


def weights(root: Path) -> dict[str, torch.Tensor]:
    return load_file(root / "model" / LAST_WEIGHTS)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_job_on_another_stream_never_delivers_what_the_first_has_learnt(tmp_path: Path) -> None:
    run = Jobs(tmp_path)
    status, _, first = run(0, JOB_A)
    assert status == 0 and read_description(first / "model").data["train"]["fingerprint"]
    checkpoints = sorted((tmp_path / "checkpoints").iterdir())

    status, _, other = run(100, JOB_B)
    assert status == 2
    failure = jobs.failure(other)
    assert failure.startswith("ClientError: ") and "another stream. train" in failure
    assert "8 of its first 8 pairs are not among the 8 " in failure
    assert "In a job: another S3Uri in CheckpointConfig starts over; the channel model" in failure
    assert len(failure) < 1024
    jobs.check_no_flags(failure)
    assert not list((other / "model").iterdir())
    assert sorted((tmp_path / "checkpoints").iterdir()) == checkpoints

    status, log, again = run(0, JOB_B, seed=7)
    assert status == 0 and not (again / "output/failure").exists(), jobs.failure(again)
    assert "train: the checkpoint is complete; reading the stream once to see whether it is the same data" in log
    assert "train: the stream holds the same 8 pairs as the checkpoint's" in log
    assert "validation: the stream holds the same 3 pairs as the checkpoint's" in log
    assert "nothing is left to train" in log
    assert same(weights(again), weights(first))


@pytest.mark.parametrize("whose", ["its own", "another's", "nobody's"])
def test_a_job_that_is_stopped_before_it_compares_takes_no_model_of_another_job(tmp_path: Path, whose: str) -> None:
    run = Jobs(tmp_path)
    _, _, first = run(0, {} if whose == "nobody's" else JOB_A)
    variables = {"its own": JOB_A, "another's": JOB_B, "nobody's": {}}[whose]
    status, log, stopped = run(0 if whose == "its own" else 100, variables, stopped=True)
    assert status == 0, log
    assert same(weights(stopped), weights(first)) == (whose != "another's")
    unchecked = re.search(r"newest checkpoint; whether that .* the same data was not \w+ before the stop", log)
    assert bool(unchecked) == (whose == "nobody's")
    assert ("is of another job (arn:" in log and "holds the weights that training starts" in log) == (
        whose == "another's"
    )
