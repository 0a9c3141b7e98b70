import json
import logging
import re
from pathlib import Path

import pytest

from segwright.cli import main
from segwright.sagemaker import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS
from segwright.sagemaker.logs import log_to_stdout


def test_no_message_looks_like_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stdout()
    for name in ("validation mIOU", "pixel_accuracy", "train loss", "train throughput", "validation throughput"):
        logging.getLogger("segwright.data.folders").warning("%s", f"left out: /data/{name}: 0.9 .png")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(re.match(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d WARNING \d+\] left out: /data/", line) for line in lines)
    found = [re.search(one["Regex"], line) for one in METRIC_DEFINITIONS for line in lines]
    assert not any(found)


@pytest.mark.parametrize("command", ["container", "sagemaker"])
def test_the_documents_hold_the_definitions_that_the_command_prints(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "metric-definitions"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == METRIC_DEFINITIONS
    assert printed == (Path(__file__).parents[1] / "docs" / "metric_definitions.json").read_text()


def test_names_of_metrics_are_unique() -> None:
    names = [one["Name"] for one in (*METRIC_DEFINITIONS, *FURTHER_METRIC_DEFINITIONS)]
    assert len(set(names)) == len(names)
