"""The application without a process: what only happens while loading, or where the server itself fails."""

import logging
from collections.abc import Iterator
from typing import cast

import pytest
import torch
from starlette.testclient import TestClient

from segwright.inference import Model, load
from segwright.serving import ServingSettings
from segwright.serving.app import ModelSlot, single_model_app
from segwright.serving.invocations import Invocations
from segwright.serving.scoring import Scorer
from tests.served import picture, write_bundle


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    threads = torch.get_num_threads()
    made = Scorer(1, 60)
    yield made
    made.close()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_bundle(tmp_path_factory.mktemp("app") / "model"), "cpu")


def client(slot: ModelSlot, scorer: Scorer, settings: ServingSettings | None = None) -> TestClient:
    app = single_model_app(slot, scorer, Invocations(scorer, settings or ServingSettings()))
    return TestClient(app, raise_server_exceptions=False)


def test_while_the_model_is_loaded_the_server_says_so(scorer: Scorer, model: Model) -> None:
    slot = ModelSlot()
    asked = client(slot, scorer)
    assert asked.get("/ping").status_code == 503
    answer = asked.post("/invocations", content=picture())
    assert answer.status_code == 503 and "still being loaded" in answer.text
    slot.model = model
    assert asked.get("/ping").status_code == 200
    assert asked.post("/invocations", content=picture()).status_code == 200


def test_a_broken_device_is_unhealthy(scorer: Scorer, model: Model) -> None:
    asked = client(ModelSlot(model), scorer)
    scorer.broken = True
    assert asked.get("/ping").status_code == 503


def test_a_fault_of_ours_is_one_sentence(scorer: Scorer) -> None:
    asked = client(ModelSlot(cast(Model, "no model")), scorer)
    answer = asked.post("/invocations", content=picture(), headers={"X-Amzn-SageMaker-Custom-Attributes": "id=7"})
    assert answer.status_code == 500
    assert answer.text == "The server failed at this request, which is a fault of its own: its log says more."
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "id=7"


def test_a_full_queue_asks_to_come_again(scorer: Scorer, model: Model) -> None:
    scorer._places = 0
    answer = client(ModelSlot(model), scorer).post("/invocations", content=picture())
    assert answer.status_code == 503 and "again in a moment" in answer.text


def test_the_default_accept_and_the_limit_are_settings(scorer: Scorer, model: Model) -> None:
    settings = ServingSettings.from_environment(
        {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}
    )
    asked = client(ModelSlot(model), scorer, settings)
    answer = asked.post("/invocations", content=picture(), headers={"Accept": "*/*"})
    assert answer.headers["content-type"] == "image/png"
    announced = asked.post("/invocations", content=bytes((1 << 20) + 1))
    assert announced.status_code == 413 and "1,048,577 bytes, but 1,048,576 are read at most" in announced.text
    streamed = asked.post("/invocations", content=iter([bytes(1 << 20), b"1"]))
    assert streamed.status_code == 413 and "more than 1,048,576 bytes" in streamed.text


def test_refusals_are_logged(
    scorer: Scorer, model: Model, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("segwright"), "propagate", True)
    with caplog.at_level(logging.INFO, "segwright"):
        client(ModelSlot(model), scorer).post("/invocations", content=b"x", headers={"Accept": "text/html"})
    assert "406 for POST /invocations: Accept is text/html" in caplog.text
