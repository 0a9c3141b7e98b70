import json
from pathlib import Path
from typing import Any

import pytest

from segwright.errors import DataError, HyperparameterError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.sagemaker.channels import locate_channels
from segwright.sagemaker.hyperparameters import read_hyperparameters, to_strings
from segwright.sagemaker.job import Job
from segwright.sagemaker.paths import Paths

FOUR = ("train", "train_annotation", "validation", "validation_annotation")


def tree(root: Path, environment: dict[str, str] | None = None, **files: Any) -> Paths:
    """A tree with these files in `input/config`."""
    (root / "input/config").mkdir(parents=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "input/config" / f"{name}.json").write_text(text)
    return Paths(root, environment or {})


def channel(mode: str = "File", wrapper: str = "None") -> dict[str, str]:
    return {"TrainingInputMode": mode, "S3DistributionType": "FullyReplicated", "RecordWrapperType": wrapper}


def test_the_root_may_be_put_elsewhere() -> None:
    assert Paths.from_environment({}).model == Path("/opt/ml/model")
    assert Paths.from_environment({"SEGWRIGHT_ML_ROOT": "/tmp/ml"}).channel("train") == Path("/tmp/ml/input/data/train")


def test_a_job_is_what_the_platforms_files_say(tmp_path: Path) -> None:
    job = Job.read(
        tree(
            tmp_path,
            hyperparameters={"num_classes": "4", "epochs": "2"},
            inputdataconfig={"train": channel("Pipe", "RecordIO"), "validation": channel("FastFile")},
            resourceconfig={"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
            checkpointconfig={"LocalPath": "/opt/ml/my-checkpoints", "S3Uri": "s3://bucket/there"},
        )
    )
    assert job.hyperparameters == {"num_classes": "4", "epochs": "2"}
    assert (job.channels["train"].mode, job.channels["validation"].mode) == ("Pipe", "FastFile")
    assert job.checkpoints == tmp_path / "my-checkpoints"


def test_without_files_the_folders_and_the_toolkits_variables_say_it(tmp_path: Path) -> None:
    variables = {
        "SM_HPS": '{"num_classes": 4, "lr_scheduler_step": [10, 20]}',
        "SM_CURRENT_HOST": "algo-7",
        "SM_CHANNEL_VALIDATION": "/elsewhere/validation",
        "SM_MODEL_DIR": "/elsewhere/model",
    }
    found = tree(tmp_path, variables)
    (tmp_path / "input/data/train").mkdir(parents=True)
    job = Job.read(found)
    assert job.hyperparameters == {"num_classes": "4", "lr_scheduler_step": "10, 20"}
    assert list(job.channels) == ["train"] and job.host == "algo-7" and job.checkpoints is None
    assert found.channel("train") == tmp_path / "input/data/train"
    assert found.channel("validation") == Path("/elsewhere/validation") and found.model == Path("/elsewhere/model")


def test_the_toolkit_says_which_channels_there_are_where_the_usual_folder_is_empty(tmp_path: Path) -> None:
    (tmp_path / "each/input/data").mkdir(parents=True)
    each = {"SM_CHANNEL_TRAIN": "/elsewhere/train", "SM_CHANNEL_VALIDATION": "/elsewhere/validation"}
    assert sorted(Job.read(tree(tmp_path / "each", each)).channels) == ["train", "validation"]
    assert sorted(Job.read(tree(tmp_path / "list", {**each, "SM_CHANNELS": '["train"]'})).channels) == ["train"]


def test_hosts_and_single_hyperparameters_may_come_as_variables(tmp_path: Path) -> None:
    job = Job.read(tree(tmp_path / "one", {"SM_HP_NUM_CLASSES": "4", "SM_HP_EPOCHS": "2", "SM_HOSTS": '["algo-1"]'}))
    assert job.hyperparameters == {"num_classes": "4", "epochs": "2"}
    with pytest.raises(UserError, match="2 machines"):
        Job.read(tree(tmp_path / "two", {"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2"}))
    with pytest.raises(UserError, match="SM_HOSTS is not JSON"):
        Job.read(tree(tmp_path / "odd", {"SM_HOSTS": "algo-1"}))
    with pytest.raises(UserError, match="SM_HOSTS holds str; it has to hold one JSON list"):
        Job.read(tree(tmp_path / "text", {"SM_HOSTS": '"algo-1"'}))


def test_the_usual_folder_of_checkpoints_counts_where_it_is(tmp_path: Path) -> None:
    found = tree(tmp_path)
    assert Job.read(found).checkpoints is None
    (tmp_path / "checkpoints").mkdir()
    assert Job.read(found).checkpoints == tmp_path / "checkpoints"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"hyperparameters": "{"}, "hyperparameters.json is not JSON"),
        ({"hyperparameters": "[" * 100_000}, "hyperparameters.json is not JSON"),
        ({"hyperparameters": [1]}, "holds list; it has to hold one JSON object"),
        ({"inputdataconfig": {"train": 3}}, "the channel train is 3"),
        ({"inputdataconfig": {"train": channel("Tube")}}, "TrainingInputMode 'Tube'; File, FastFile and Pipe"),
        ({"resourceconfig": {"hosts": "algo-1"}}, "has to be a list of the names of machines"),
        ({"resourceconfig": {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}}, "Set InstanceCount to 1"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Job.read(tree(tmp_path, **files))


def located(root: Path, configs: dict[str, dict[str, str]], label_map: bool = False) -> Any:
    found = tree(root, inputdataconfig=configs)
    for name, config in configs.items():
        if config["TrainingInputMode"] != "Pipe":
            (root / "input/data" / name).mkdir(parents=True)
    if label_map:
        (root / "input/data/label_map/train_label_map.json").write_text('{"scale": "3"}')
    return locate_channels(found, Job.read(found).channels)


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_files_are_found_and_label_maps_not_shared(tmp_path: Path, mode: str) -> None:
    channels = located(tmp_path, {name: channel(mode) for name in (*FOUR, "label_map")}, label_map=True)
    assert channels.train.images == tmp_path / "input/data/train" and channels.input_mode == "File"
    assert channels.read_label_map("train").to_json() == {"scale": 3}
    assert channels.read_label_map("validation") is None


def test_pipes_are_found(tmp_path: Path) -> None:
    channels = located(tmp_path, {split: channel("Pipe", "RecordIO") for split in ("train", "validation")})
    assert channels.input_mode == "Pipe" and channels.stream("train").prefix == tmp_path / "input/data/train"


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        (
            {"train": channel(), "train_annotation": channel()},
            "missing: validation, validation_annotation. .*has train, train_annotation",
        ),
        ({name: channel() for name in FOUR[:3]}, "missing: validation_annotation"),
        ({"train": channel("Pipe"), "validation": channel("Pipe")}, "Set RecordWrapperType to RecordIO"),
        (
            {"train": channel("Pipe", "RecordIO"), "validation": channel(), "validation_annotation": channel()},
            "train comes in mode Pipe, validation in mode File",
        ),
        (
            {**{name: channel() for name in FOUR}, "train_annotation": channel("Pipe")},
            "train_annotation is in Pipe mode, in which masks come beside their images",
        ),
        (
            {split: channel("Pipe", "RecordIO") for split in ("train", "validation", "label_map")},
            "label_map is in Pipe mode",
        ),
    ],
)
def test_channels_that_cannot_be_used_are_refused(
    tmp_path: Path, configs: dict[str, dict[str, str]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        located(tmp_path, configs)


def test_channels_that_were_not_delivered_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not delivered, .*: validation \(.*input/data/validation\)\. Check that"):
        found = tree(tmp_path, inputdataconfig={name: channel() for name in FOUR})
        for name in set(FOUR) - {"validation"}:
            (tmp_path / "input/data" / name).mkdir(parents=True)
        locate_channels(found, Job.read(found).channels)


def test_settings_follow_the_original_by_default() -> None:
    settings = read_hyperparameters({"num_classes": "5", "_workers": "2", "sagemaker_program": "x", "syncbn": "true"})
    assert (settings.recipe, settings.mini_batch_size, settings.workers) == ("sagemaker", 16, 2)
    assert read_hyperparameters({"recipe": "best"}).optimizer == "adamw"
    with pytest.raises(HyperparameterError, match="epochs"):
        read_hyperparameters({"epochs": "0"})


def test_settings_written_are_read_again_the_same() -> None:
    settings = read_hyperparameters({"num_classes": "5", "lr_scheduler": "step", "lr_scheduler_step": "10, 20"})
    strings = to_strings(settings.model_dump())
    assert strings["_aux_loss"] == "True" and strings["lr_scheduler_step"] == "10, 20"
    assert Hyperparameters.from_strings(strings) == settings
