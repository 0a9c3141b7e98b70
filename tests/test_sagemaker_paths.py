"""The tree below `/opt/ml`, as the platform makes it of a request."""

import json
from pathlib import Path
from typing import Any

from tests.helpers.sagemaker_tree import ml_tree_from_request

SOURCE = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/k", "S3DataDistributionType": "FullyReplicated"}}
REQUEST = {
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "Pipe"},
    "HyperParameters": {"epochs": "3"},
    "InputDataConfig": [
        {"ChannelName": "train", "DataSource": SOURCE, "RecordWrapperType": "RecordIO", "ContentType": "a/b"},
        {"ChannelName": "model", "DataSource": SOURCE, "InputMode": "File"},
    ],
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30},
    "CheckpointConfig": {"S3Uri": "s3://b/checkpoints"},
}


def configuration(root: Path, name: str) -> Any:
    return json.loads((root / "input" / "config" / f"{name}.json").read_text())


def test_files_have_the_shape_of_the_platforms(tmp_path: Path) -> None:
    root = ml_tree_from_request(REQUEST, tmp_path, host="algo-2")
    assert configuration(root, "hyperparameters") == {"epochs": "3"}
    assert configuration(root, "inputdataconfig") == {
        "train": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "RecordIO",
            "ContentType": "a/b",
        },
        "model": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"},
    }
    machines = configuration(root, "resourceconfig")
    assert (machines["current_host"], machines["hosts"]) == ("algo-2", ["algo-1", "algo-2"])
    assert configuration(root, "checkpointconfig") == {
        "LocalPath": "/opt/ml/checkpoints",
        "S3Uri": "s3://b/checkpoints",
    }


def test_folders_are_there_and_fifos_are_left_to_the_caller(tmp_path: Path) -> None:
    root = ml_tree_from_request(REQUEST, tmp_path)
    folders = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}
    assert {"model", "output/data", "checkpoints", "input/data/model"} <= folders
    assert "input/data/train" not in folders


def test_a_job_without_checkpoints_has_no_configuration_of_them(tmp_path: Path) -> None:
    request = {name: value for name, value in REQUEST.items() if name != "CheckpointConfig"}
    root = ml_tree_from_request(request, tmp_path)
    assert not (root / "input" / "config" / "checkpointconfig.json").exists()
    assert not (root / "checkpoints").exists()
