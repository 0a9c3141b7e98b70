import ast
import json
import re
from pathlib import Path

import pytest

import segwright
from segwright.cli import main
from segwright.console import PACKAGE_LOGGER
from segwright.sagemaker import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS
from segwright.sagemaker.logs import set_up_logging
from segwright.sagemaker.words import in_words_of_a_job


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("lower --learning-rate (a tenth)", "lower learning_rate (a tenth)"),
        ("start with --no-use-pretrained-model.", "start with use_pretrained_model False."),
        ("give a file with --backbone-weights FILE", "give a file with backbone_weights FILE"),
        ("or with --label-map FILE.", "or with the channel label_map."),
        ("point to them with --train-annotation DIR", "point to them with the channel train_annotation"),
        ("start another training, with --from.", "start another training, with the channel model."),
        ("--resume: the checkpoint", "CheckpointConfig: the checkpoint"),
        ("as stored. Add --apply-exif-orientation.", "as stored. Set apply_exif_orientation to True."),
        (
            "segwright import-data colours /opt/ml/input/data/train --masks 'a b' --colours c.txt --output DATA, where",
            "segwright import-data colours IMAGES --masks MASKS --colours c.txt --output DATA, where",
        ),
        ("/data/a--seed.jpg and img--train.jpg", "/data/a--seed.jpg and img--train.jpg"),
        ("a dash -- or --unheard-of stays", "a dash -- or --unheard-of stays"),
    ],
)
def test_flags_become_words_of_a_job(flags: str, words: str) -> None:
    assert in_words_of_a_job(flags) == words


def test_no_message_looks_like_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    for name in ("validation mIOU", "pixel_accuracy", "train loss", "train throughput", "validation throughput"):
        PACKAGE_LOGGER.warning("%s", f"left out: /data/{name}: 0.9 .png")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(re.match(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d WARNING \d+\] left out: /data/", line) for line in lines)
    found = [re.search(one["Regex"], line) for one in METRIC_DEFINITIONS for line in lines]
    assert not any(found)


def test_the_documents_hold_the_definitions_that_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["container", "metric-definitions"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == METRIC_DEFINITIONS
    assert printed == (Path(__file__).parents[1] / "docs" / "metric_definitions.json").read_text()


def test_names_of_metrics_are_unique() -> None:
    names = [one["Name"] for one in (*METRIC_DEFINITIONS, *FURTHER_METRIC_DEFINITIONS)]
    assert len(set(names)) == len(names)


SOURCES = Path(segwright.__file__).parent
NOT_IN_A_JOB = (
    *("cli", "importers", "checks/report", "sample_data", "serving", "mxnet/artefact.py", "sagemaker/words.py"),
    *("evaluation/run.py", "__init__.py", "client.py"),
)
"""What speaks to nobody but the command line, a browser or an endpoint."""


COMMANDS = ("```sh", "docker run", "curl", "segwright import-data")
"""Where a text holds one of them, its flags are those of a command that a person gives elsewhere."""


def messages() -> list[str]:
    """Every text in the sources that a job may tell, with X for what is filled in."""
    found = []
    for file in sorted(SOURCES.rglob("*.py")):
        if str(file.relative_to(SOURCES)).startswith(NOT_IN_A_JOB):
            continue
        nodes = list(ast.walk(ast.parse(file.read_text())))
        formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
        parts = {id(part) for node in formatted for part in node.values}
        for node in formatted:
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values))
        constants = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in parts]
        found += [node.value for node in constants if isinstance(node.value, str)]
    return [text for text in found if "--" in text and not any(command in text for command in COMMANDS)]


def test_no_message_of_a_job_names_a_flag() -> None:
    texts = messages()
    assert texts
    left = [words for words in map(in_words_of_a_job, texts) if re.search(r"(?<![\w./-])--[a-z]", words)]
    assert not left


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("on the CPU: it has a GPU. --device cpu says that it is meant.", "on the CPU: it has a GPU."),
        (
            "Name the attributes of image and mask, as in --attributes a-ref,b-ref.",
            "Leave those of image",
        ),
        ("`segwright train --help` lists them all.", "docs/hyperparameters.md lists them all."),
        ("without --resume and with --overwrite; or", "with another S3Uri in CheckpointConfig; or"),
    ],
)
def test_what_a_job_has_no_word_for_is_said_in_another_way(flags: str, words: str) -> None:
    assert in_words_of_a_job(flags).startswith(words)
