import json
import re
from pathlib import Path

import pytest

from segwright.cli import main
from segwright.console import LOGGER
from segwright.container import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS
from segwright.container.lines import set_up_logging
from segwright.container.words import in_words_of_a_job


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
        ("/data/a--seed.jpg and img--train.jpg", "/data/a--seed.jpg and img--train.jpg"),
        ("a dash -- or --unheard-of stays", "a dash -- or --unheard-of stays"),
    ],
)
def test_flags_become_words_of_a_job(flags: str, words: str) -> None:
    assert in_words_of_a_job(flags) == words


def test_no_message_looks_like_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    for name in ("validation mIOU", "pixel_accuracy", "train loss", "train throughput", "validation throughput"):
        LOGGER.warning("%s", f"left out: /data/{name}: 0.9 .png")
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
