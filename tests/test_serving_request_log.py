import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from segwright.console import PACKAGE_LOGGER
from segwright.inference import Model, load
from segwright.serving import ServingSettings, request_log
from segwright.serving.app import ModelHolder, single_model_app
from segwright.serving.inference_pool import InferencePool
from tests.helpers.served import picture, write_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_bundle(tmp_path_factory.mktemp("logged") / "model"), "cpu")


@contextmanager
def client(model: Model | None, access_log: str) -> Iterator[TestClient]:
    pool = InferencePool(ServingSettings(access_log=access_log))
    yield TestClient(single_model_app(ModelHolder(model), pool), raise_server_exceptions=False)
    pool.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(PACKAGE_LOGGER, "propagate", True)
    caplog.set_level(logging.INFO, "segwright")
    return caplog


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Request-Id": "a-7:b/c"}, "a-7:b/c"),
        ({"X-Amzn-SageMaker-Inference-Id": "call_8"}, "call_8"),
        ({"X-Request-Id": "a b", "X-Amzn-SageMaker-Inference-Id": "call_8"}, "call_8"),
        ({}, None),
        ({"X-Request-Id": "a" * 129}, None),
        ({"X-Request-Id": "-rf"}, None),
        ({"X-Request-Id": '"}{"'}, None),
    ],
)
def test_a_sane_id_is_kept_and_another_replaced(
    model: Model, logged: pytest.LogCaptureFixture, headers: dict[str, str], expected: str | None
) -> None:
    with client(model, "text") as asked:
        answers = [asked.post("/invocations", content=body, headers=headers) for body in (picture(), b"poison")]
    for answer, message in zip(answers, logged.messages, strict=True):
        name = answer.headers["x-request-id"]
        assert name == expected or (expected is None and re.fullmatch("[0-9a-f]{16}", name))
        assert f" {name}" in message


def test_a_line_of_text_has_what_an_operator_asks_first(model: Model, logged: pytest.LogCaptureFixture) -> None:
    with client(model, "text") as asked:
        asked.get("/ping")
        asked.post("/invocations", content=picture())
        asked.post("/invocations", content=b"", headers={"X-Amzn-SageMaker-Target-Model": "one.tar.gz"})
    right, wrong = logged.messages
    assert re.fullmatch(r"POST /invocations 200 \d+ ms 57x40 [0-9a-f]{16}", right)
    assert re.fullmatch(r"POST /invocations one.tar.gz 400 \d+ ms [0-9a-f]{16}: The body is empty: .*", wrong)


@pytest.mark.parametrize("access_log", ["text", "errors"])
def test_a_probe_is_logged_when_it_begins_to_fail(
    model: Model, logged: pytest.LogCaptureFixture, access_log: str
) -> None:
    holder, pool = ModelHolder(None), InferencePool(ServingSettings(access_log=access_log))
    asked = TestClient(single_model_app(holder, pool))
    for present in (None, None, model, model, None, None):
        holder.model = present
        asked.get("/ping")
    pool.close()
    assert all(re.fullmatch(r"GET /ping 503 \d+ ms [0-9a-f]{16}", message) for message in logged.messages)
    assert len(logged.messages) == 2


def test_errors_alone_are_logged_on_an_endpoint(model: Model, logged: pytest.LogCaptureFixture) -> None:
    with client(model, "errors") as asked:
        asked.post("/invocations", content=picture())
        asked.post("/invocations", content=b"")
    assert [record.levelname for record in logged.records] == ["INFO"] and " 400 " in logged.messages[0]
    logged.clear()
    with client("no model", "errors") as asked:  # type: ignore[arg-type]
        answer = asked.post("/invocations", content=picture())
    assert answer.status_code == 500 and answer.headers["x-request-id"] in logged.text
    assert logged.records[0].levelname == "WARNING"


def test_json_is_a_line_for_each_request(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, pieces = picture(), list[str]()
    monkeypatch.setattr(request_log, "LOG", SimpleNamespace(write=pieces.append, flush=lambda: None))
    with client(model, "json") as asked:
        answer = asked.post("/invocations", content=sent)
        asked.post("/invocation", content=b"")
    right, wrong = map(json.loads, pieces)  # each line in one write, or lines of threads mix
    assert all(piece.endswith("}\n") for piece in pieces)
    stages = [f"{stage}_milliseconds" for stage in ("decode", "network", "encode")]
    assert all(right[stage] > 0 for stage in stages)
    assert sum(right[stage] for stage in stages) <= right["milliseconds"] + 0.3
    assert (right["status"], right["height"], right["width"]) == (200, 40, 57)
    assert (right["received"], right["sent"]) == (len(sent), len(answer.content))
    assert right["request_id"] == answer.headers["x-request-id"] and right["time"].endswith("+00:00")
    assert wrong["status"] == 404 and wrong["error"].startswith("There is nothing at") and "width" not in wrong
