"""The code in `docs/sagemaker.md` for the SageMaker Python SDK v2 and v3: what it asks of AWS, and of Docker."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.sagemaker_requests import CHANNELS, CHECKS, IMAGE, MASK, differences

from sdk_tests.conftest import Execution
from segwright.sagemaker.hyperparameters import read_hyperparameters
from segwright.sagemaker.job import ChannelConfig, Job
from segwright.sagemaker.paths import Paths


@pytest.mark.parametrize("name", CHECKS)
def test_an_sdk_asks_for_what_the_page_says(name: str, execution: Execution, tmp_path: Path) -> None:
    CHECKS[name](execution.aws, tmp_path)


def test_a_mask_is_what_the_server_answered(execution: Execution) -> None:
    with Image.open(execution.folder / "mask.png") as written:
        np.testing.assert_array_equal(np.asarray(written), MASK)


def test_an_estimator_changes_image_and_metrics_and_nothing_else(execution: Execution) -> None:
    if execution.sdk == "sdk3":
        assert not execution.aws.asked("train-before", "CreateTrainingJob")  # the page's diff is for v2
        return
    [before] = execution.aws.asked("train-before", "CreateTrainingJob")
    [after] = execution.aws.asked("train", "CreateTrainingJob")
    changed = {"AlgorithmSpecification.TrainingImage", "AlgorithmSpecification.MetricDefinitions"}
    assert differences(before, after) == {"TrainingJobName", *changed}
    assert before["AlgorithmSpecification"]["TrainingImage"].endswith("/semantic-segmentation:1")
    assert after["AlgorithmSpecification"]["TrainingImage"] == IMAGE


def test_local_mode_starts_a_training_that_the_container_understands(execution: Execution) -> None:
    caught = execution.folder / "caught"
    compose = (caught / "compose.yaml").read_text()
    assert "image: segwright:0.1.0\n" in compose
    assert "entrypoint:" not in compose
    if execution.sdk == "sdk2":
        assert "command: train\n" in compose
    else:
        assert "command:" not in compose  # the image's own is to train: tests/test_dockerfile.py
    for channel in CHANNELS:
        assert f"{execution.folder}/data/{channel}:/opt/ml/input/data/{channel}" in compose
    job = Job.read(Paths(caught))
    assert job.channels == dict.fromkeys(CHANNELS, ChannelConfig("File", "None"))
    assert read_hyperparameters(job.hyperparameters).num_classes == 21
