"""The page as users of the SageMaker Python SDKs execute it, each SDK in an environment of its own.

`make test-sdk` makes the environments; v2 and v3 cannot share one, with each other or with Segwright.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from PIL import Image
from tests.helpers.documents import run_python, snippets
from tests.helpers.loopback_aws import Call, Recorder, variables
from tests.helpers.sagemaker_requests import CHANNELS, MASK, PAGE, aws_with_objects

DOCKER: Final = """#!/bin/sh
case "$*" in
  "compose version"*) echo "Docker Compose version v2.40.0" ;;
  "images -q "*) echo 0123456789ab ;;
  "compose -f "*" up "*)
    root=$(dirname "$3")
    cp "$3" "$HOME/caught/compose.yaml"
    cp -r "$root"/algo-1*/input "$HOME/caught/input"
    mkdir -p "$root/model" ;;
  *) exit 1 ;;
esac
"""
"""Stands for Docker: keeps what an SDK wants to run, and the configuration that it wrote for the container."""

NO_TELEMETRY: Final = """
SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


@dataclass(frozen=True)
class Execution:
    """What an SDK did."""

    sdk: str
    aws: Recorder
    folder: Path
    """Where the user stood."""


@pytest.fixture(scope="session", params=["sdk2", "sdk3"])
def execution(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Execution:
    """Execute the snippets of an SDK one after the other; before that, the sides of diffs that are no more."""
    sdk = request.param
    python = PAGE.parent.parent / f".venv-{sdk}" / "bin" / "python"
    assert python.exists(), f"{python} is not there: `make test-sdk` makes it"
    folder = _users_folder(tmp_path_factory.mktemp(sdk))
    code = snippets(PAGE, sdk)
    before = [snippet for snippet in code if snippet.name.endswith("-before")]
    calls: list[Call] = []
    for part in (before, [snippet for snippet in code if snippet not in before]):
        with aws_with_objects() as (address, aws):
            environment = {**variables(address, folder), "SAGEMAKER_USER_CONFIG_OVERRIDE": str(folder / "sdk.yaml")}
            run_python(part, python, folder, {**environment, "PATH": f"{folder / 'bin'}:/usr/bin:/bin"})
        calls += aws.calls
    aws.calls = calls
    return Execution(sdk, aws, folder)


def _users_folder(folder: Path) -> Path:
    for name in ("bin", "caught", *(f"data/{channel}" for channel in CHANNELS)):
        (folder / name).mkdir(parents=True)
    (folder / "sdk.yaml").write_text(NO_TELEMETRY)
    (folder / "bin" / "docker").write_text(DOCKER)
    (folder / "bin" / "docker").chmod(0o755)
    Image.new("RGB", MASK.shape[::-1]).save(folder / "photo.jpg")
    return folder
