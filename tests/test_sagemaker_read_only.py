"""A job on a root file system that cannot be written to, in a mount namespace of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.jobs import COMMAND, environment, make_job
from tests.helpers.served import write_bundle

_READ_ONLY = """set -e
mount --make-rprivate /
for folder in model output checkpoints; do mount -t tmpfs none "$1/$folder"; done
mkdir "$1/output/data"
mount -o remount,bind,ro /
for folder in /tmp /var/tmp /dev; do ! mountpoint -q "$folder" || mount -o remount,bind,ro "$folder"; done
mount -t tmpfs none /dev/shm
cd /
shift
"$@"
"""


def may_mount() -> bool:
    return sys.platform == "linux" and not subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode


@pytest.mark.skipif(not may_mount(), reason="takes a user who may mount")
def test_a_job_needs_nothing_but_the_folders_that_the_platform_takes(tmp_path: Path) -> None:
    root = make_job(tmp_path, channels=("train", "train_annotation", "validation", "validation_annotation", "model"))
    write_bundle(root / "input" / "data" / "model" / "earlier")
    show = f"{' '.join(COMMAND)}; status=$?; ls '{root}/model' '{root}/output'; exit $status"
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", _READ_ONLY, "bash", str(root), "bash", "-c", show],
        env=environment(root, {"OMP_NUM_THREADS": "1"}),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bundle.json" in done.stdout.split() and "failure" not in done.stdout.split()
    assert not (root / "model" / "bundle.json").exists()  # it was written in the namespace, and nothing outside
