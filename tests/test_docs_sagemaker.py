"""The code in `docs/sagemaker.md` that needs no SDK of SageMaker: boto3's against AWS on loopback, and the shell's."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.sagemaker import METRIC_DEFINITIONS
from segwright.sagemaker.hyperparameters import read_hyperparameters
from segwright.sagemaker.job import Job
from segwright.sagemaker.paths import Paths
from tests.conftest import Draw
from tests.helpers.documents import FENCED, Snippet, run_python, run_shell, snippets
from tests.helpers.loopback_aws import Recorder, variables
from tests.helpers.sagemaker_requests import CHECKS, IMAGE, MASK, PAGE, PROBABILITIES, aws_with_objects, differences

PYTHON = Path(sys.executable)
REPOSITORY = PAGE.parent.parent
ENVIRONMENTS = ("boto3", "sdk2", "sdk3", "segwright", "shell")

KEPT = """
import numpy
numpy.savez("answers.npz", mask=mask, probabilities=probabilities, names=names)
"""

TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
  *get-login-password*) echo secret ;;
  *--password-stdin*) [ "$(cat)" = secret ] ;;
esac
"""
"""Notes how it was called: stands for docker, buildah and aws, which need an account or a daemon."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boto3")
    Image.new("RGB", MASK.shape[::-1]).save(folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def aws(folder: Path) -> Recorder:
    """What boto3's snippets asked, one after the other; of a diff, both sides."""
    code = snippets(PAGE, "boto3")
    before = [entry for entry in code if entry.name.endswith("-before")]
    after = [entry for entry in code if entry not in before]
    calls = []
    for part in (before, [*after, Snippet("kept", "python", KEPT, __file__, 1)]):
        with aws_with_objects() as (address, aws):
            run_python(part, PYTHON, folder, variables(address, folder))
        calls += aws.calls
    aws.calls = calls
    return aws


@pytest.mark.parametrize("name", CHECKS)
def test_boto3_asks_for_what_the_page_says(name: str, aws: Recorder, tmp_path: Path) -> None:
    CHECKS[name](aws, tmp_path)


def test_a_model_changes_its_image_and_nothing_else(aws: Recorder) -> None:
    [before], [after] = aws.asked("model-before", "CreateModel"), aws.asked("model", "CreateModel")
    assert differences(before, after) == {"PrimaryContainer.Image"}
    assert after["PrimaryContainer"]["Image"] == IMAGE


def test_answers_are_read_as_the_page_says(aws: Recorder, folder: Path) -> None:
    with Image.open(folder / "mask.png") as written:
        np.testing.assert_array_equal(np.asarray(written), MASK)
    answers = np.load(folder / "answers.npz")
    np.testing.assert_array_equal(answers["mask"], MASK)
    np.testing.assert_array_equal(answers["probabilities"], PROBABILITIES)
    assert list(answers["names"]) == ["class 0", "class 1", "class 2"]


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """The variables of a shell in which docker, buildah and aws note how they are called."""
    (tmp_path / "bin").mkdir()
    for name in ("docker", "buildah", "aws"):
        (tmp_path / "bin" / name).write_text(TOOL)
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{PYTHON.parent}:/usr/bin:/bin"
    return {"PATH": path, "CALLS": str(tmp_path / "calls"), "HOME": str(tmp_path)}


def shell(name: str, folder: Path, tools: dict[str, str]) -> list[str]:
    """Run a snippet of the shell; how it called the tools."""
    [snippet] = [snippet for snippet in snippets(PAGE, "shell") if snippet.name == name]
    run_shell(snippet, folder, tools)
    calls = Path(tools["CALLS"])
    return calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize("tool", ["docker", "buildah"])
def test_the_image_that_is_built_is_pushed_to_where_jobs_look(tool: str, tmp_path: Path, tools: dict[str, str]) -> None:
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    calls = shell(f"push-{tool}", tmp_path, tools)
    assert any(call.startswith(f"{tool} login") and call.endswith(IMAGE.partition("/")[0]) for call in calls)
    [build] = [call for call in calls if call.startswith(f"{tool} build ")]
    assert f"--tag {IMAGE} " in build
    assert "--build-arg VARIANT=cu126" in build
    assert calls[-1].startswith(f"{tool} push ")
    assert calls[-1].endswith(f" {IMAGE}")


def test_docker_alone_finds_a_job(channels_folder: Draw, tmp_path: Path, tools: dict[str, str]) -> None:
    channels_folder()
    train, serve = shell("local", tmp_path, tools)
    assert train == f"docker run --rm --volume {tmp_path}/ml:/opt/ml segwright:0.1.0 train"
    assert serve.endswith("segwright:0.1.0 serve")
    job = Job.read(Paths(tmp_path / "ml"))
    assert set(job.channels) == {"train", "train_annotation", "validation", "validation_annotation"}
    assert read_hyperparameters(job.hyperparameters).epochs == 2


def test_metric_definitions_come_as_a_download() -> None:
    assert json.loads((PAGE.parent / "metric_definitions.json").read_text()) == METRIC_DEFINITIONS


def test_metric_definitions_come_from_segwright(tmp_path: Path, tools: dict[str, str]) -> None:
    shell("metric-definitions", tmp_path, tools)
    assert json.loads((tmp_path / "metric_definitions.json").read_text()) == METRIC_DEFINITIONS
    with aws_with_objects() as (address, _):
        run_python(snippets(PAGE, "segwright"), PYTHON, tmp_path, variables(address, tmp_path))


def test_all_code_of_the_page_is_run() -> None:
    marked = [snippet for name in ENVIRONMENTS for snippet in snippets(PAGE, name) if "-before" not in snippet.name]
    assert len(marked) == len(FENCED.findall(PAGE.read_text()))
