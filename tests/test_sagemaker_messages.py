"""A job has hyperparameters, channels and InputDataConfig: nothing that it logs names a flag of the command line."""

import ast
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segwright
from segwright.errors import ResumeError, UserError
from segwright.training.run import Training
from tests.helpers import jobs

SOURCES = Path(segwright.__file__).parent
NOT_IN_A_JOB = (
    *("cli", "importers", "checks/report", "sample_data", "serving", "evaluation/run.py", "client.py", "__init__.py"),
    *("data/pipe_server.py", "inference/predict.py"),
)
"""What runs on the command line or in an endpoint only."""

COMMANDS = ("```sh", "docker run", "curl", "segwright import-data", "segwright export")
"""Where a text holds one of them, its flags are those of a command that a person gives elsewhere."""


def texts(file: Path) -> list[str]:
    """Every text in a module, with X for what is filled in."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in node.values}
    constants = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in parts]
    return [
        *("".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in f.values) for f in formatted),
        *(node.value for node in constants if isinstance(node.value, str)),
    ]


@pytest.mark.parametrize("room", sorted({path.relative_to(SOURCES).parts[0] for path in SOURCES.rglob("*.py")}))
def test_no_text_that_a_job_may_log_names_a_flag(room: str) -> None:
    place = SOURCES / room
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    files = [file for file in files if not str(file.relative_to(SOURCES)).startswith(NOT_IN_A_JOB)]
    found = [text for file in files for text in texts(file) if re.search(jobs.FLAG, text)]
    assert not [text for text in found if not any(command in text for command in COMMANDS)]


def other_masks(value: int) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        for file in (data / "train_annotation").iterdir():
            mask = np.asarray(Image.open(file))
            Image.fromarray(np.where(mask == 2, value, mask).astype(np.uint8)).save(file)

    return spoil


def turned_images(data: Path) -> None:
    """Images that a camera noted as turned, with masks as they are shown."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for file in (data / "train").iterdir():
        Image.open(file).save(file, exif=exif, quality=95)
    for file in (data / "train_annotation").iterdir():
        Image.open(file).transpose(Image.Transpose.ROTATE_270).save(file)


def without_masks(data: Path) -> None:
    for file in (data / "validation_annotation").iterdir():
        file.unlink()


def with_manifest(data: Path) -> None:
    """A manifest with two masks for its image, in place of the images."""
    shutil.rmtree(data / "train")
    (data / "train").mkdir()
    line = {"source-ref": "s3://b/image.png", "a-ref": "s3://b/a.png", "b-ref": "s3://b/b.png"}
    (data / "train" / "train.manifest").write_text(json.dumps(line))


def with_class_names(data: Path) -> None:
    (data / "label_map" / "class_names.json").write_text('["a", "b"]')


BAD_JOBS: dict[str, tuple[dict[str, str], Callable[[Path], None] | None, str]] = {
    "a value": ({"epochs": "0"}, None, 'epochs is "0"'),
    "a name": ({"no_such_thing": "1"}, None, "docs/hyperparameters.md lists them all"),
    "a backbone": ({"backbone": "resnet-51"}, None, "resnet-51"),
    "no weights": ({"use_pretrained_model": "True", "backbone": "darknet17"}, None, "backbone_weights"),
    "too few classes": ({"num_classes": "2"}, None, "num_classes"),
    "other values": ({}, other_masks(200), "200"),
    "masks of 0 and 255": ({"num_classes": "2"}, other_masks(255), "255"),
    "turned images": ({}, turned_images, "apply_exif_orientation"),
    "no masks": ({}, without_masks, "validation_annotation"),
    "several attributes": ({}, with_manifest, "a-ref"),
    "class names": ({}, with_class_names, "class_names.json"),
    "precision": ({"precision_dtype": "float16"}, None, "precision_dtype"),
}


@pytest.mark.parametrize("name", BAD_JOBS)
def test_what_is_wrong_with_a_job_is_reported_without_flags(tmp_path: Path, name: str) -> None:
    settings, spoil, sign = BAD_JOBS[name]
    root = jobs.make_job(tmp_path / "ml", channels=(*jobs.FOUR, "label_map"))
    jobs.write_settings(root, settings)
    if spoil:
        spoil(root / "input/data")
    status, _ = jobs.run(root)
    failure = jobs.failure(root)
    assert status == 2 and failure.startswith("ClientError: ") and sign in failure, failure
    jobs.check_no_flags(failure)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = jobs.make_job(tmp_path_factory.mktemp("done") / "ml", epochs="1")
    status, log = jobs.run(root)
    assert status == 0, log
    return root


@pytest.mark.parametrize(("name", "value"), [("seed", "7"), ("algorithm", "psp"), ("optimizer", "adam")])
def test_a_checkpoint_of_another_training_is_refused_with_the_cure_of_a_job(
    done: Path, tmp_path: Path, name: str, value: str
) -> None:
    root = shutil.copytree(done, tmp_path / "ml")
    jobs.empty_model(root)
    jobs.write_settings(root, {name: value})
    assert jobs.run(root)[0] == 2
    failure = jobs.failure(root)
    assert name in failure and value in failure
    assert "In a job: another S3Uri in CheckpointConfig starts over; the channel model" in failure
    jobs.check_no_flags(failure)


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ResumeError("Cannot resume."), "another S3Uri in CheckpointConfig"),
        (UserError("No GPU.", name="device"), "the instance type"),
        (UserError("Two attributes.", name="attributes"), "AttributeNames"),
        (UserError("No names.", name="class_names"), "label_map/class_names.json"),
        (UserError("Not that.", name="start_from"), "the channel model"),
        (UserError("Not that.", name="crop_size"), None),
    ],
)
def test_the_cure_of_a_job_follows_what_an_error_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: UserError, cure: str | None
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(Training, "run", fail)
    root = jobs.make_job(tmp_path / "ml")
    status, log = jobs.run(root)
    failure = jobs.failure(root)
    assert status == 2 and failure.removeprefix("ClientError: ") in log
    assert (
        failure == f"ClientError: {error}" if cure is None else failure.startswith(f"ClientError: {error} In a job: ")
    )
    assert cure is None or cure in failure
