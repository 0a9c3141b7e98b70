"""The Dockerfile as far as it can be judged without a builder, and the page about it."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IGNORE = (ROOT / ".dockerignore").read_text().split("\n")
INSTANCES = (ROOT / "docs" / "instances.md").read_text()


def instructions() -> list[tuple[str, str]]:
    """Instruction and argument, with continued lines put together and comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().split("\n") if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in whole.split("\n") if line)]


def final_stage() -> list[tuple[str, str]]:
    stages = [number for number, (word, _) in enumerate(instructions()) if word == "FROM"]
    return instructions()[stages[-1] :]


def test_the_entry_is_in_exec_form_and_sees_signals_itself() -> None:
    (entry,) = [rest for word, rest in final_stage() if word == "ENTRYPOINT"]
    assert json.loads(entry) == ["env", "--block-signal=TERM", "segwright", "container"]
    (argument,) = [rest for word, rest in final_stage() if word == "CMD"]
    assert json.loads(argument) == ["train"]
    assert not [word for word, _ in final_stage() if word in ("USER", "STOPSIGNAL")]


def test_the_labels_say_what_the_server_can_do() -> None:
    (labels,) = [rest for word, rest in final_stage() if word == "LABEL"]
    said = dict(label.split("=", 1) for label in shlex.split(labels))
    assert said["com.amazonaws.sagemaker.capabilities.multi-models"] == "true"
    assert said["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert said["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_nothing_is_fetched_at_run_time_but_the_weights_are_there() -> None:
    variables = " ".join(rest for word, rest in final_stage() if word == "ENV")
    assert "HF_HUB_OFFLINE=1" in variables.split()
    assert ("ARG", "WEIGHTS=yes") in instructions()
    assert any(word == "COPY" and "--from=weights" in rest for word, rest in final_stage())


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    assert copied
    for source in [name for names in copied for name in names]:
        assert (ROOT / source).exists()
        assert f"!{source}" in IGNORE


def test_the_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (installed,) = re.findall(r"^ARG EXTRAS=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(installed.split(",")) == {"endpoint", "s3", "decoders"} <= set(extras)
    assert "segwright[endpoint]" in extras["serve"]
    assert not [package for name in installed.split(",") for package in extras[name] if "openvino" in package]


@pytest.mark.parametrize("family", ["P2", "P3", "G4dn", "G5", "C5", "M5", "G6", "P5", "C7i", "C7g"])
def test_every_family_has_a_row(family: str) -> None:
    (row,) = re.findall(rf"^\| {family} \|.*$", INSTANCES, re.MULTILINE)
    assert row.count("|") == 7
    assert re.search(r"\| (\*\*no\*\*: .+|yes.*) \|", row)


def test_every_argument_of_the_build_is_explained() -> None:
    arguments = {rest.partition("=")[0] for word, rest in instructions() if word == "ARG"}
    assert arguments == set(re.findall(r"^\| `([A-Z_]+)=", INSTANCES, re.MULTILINE))
