"""A server under clients that send anything: `scripts/serving_faults.py` with few of them."""

import json
import os
from pathlib import Path

from tests.helpers.served import server, write_bundle
from tests.helpers.serving_faults import FAULTS, torment


def test_good_pictures_are_answered_right_whatever_else_comes(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "model")
    environment = {**os.environ, "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20"}
    serve = ("-m", "segwright", "serve", bundle, "--port", "0", "--device", "cpu", "--access-log", "json")
    with server(*serve, environment=environment) as running:
        report = torment(running, bundle, 2 * len(FAULTS))
        assert running.stop() == 0
    assert not report.wrong and report.good and report.slowest_ping < 2, list(report.lines())
    assert not any("Traceback" in line for line in running.messages), running.messages
    statuses = {json.loads(line)["status"] for line in running.printed}
    assert {200, 400, 413, 415, 503} <= statuses, "each line is JSON"
