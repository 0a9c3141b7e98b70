from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from segwright.inference import Model, load
from segwright.serving import ServingSettings
from segwright.serving.app import ModelHolder, single_model_app
from segwright.serving.inference_pool import InferencePool
from tests.helpers.served import picture, write_bundle

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_bundle(tmp_path_factory.mktemp("counted") / "model"), "cpu")


@pytest.fixture
def pool() -> Iterator[InferencePool]:
    made = InferencePool(ServingSettings(metrics=True))
    yield made
    made.close()


def read(asked: TestClient) -> Samples:
    answer = asked.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_requests_are_counted_by_status_stage_and_size(model: Model, pool: InferencePool) -> None:
    asked = TestClient(single_model_app(ModelHolder(model, "roads"), pool))
    for body in (picture(), picture("PNG", 200, 300), b"poison"):
        asked.post("/invocations", content=body)
        asked.get("/ping")
    pool.broken = True
    assert asked.get("/ping").status_code == 503
    samples = read(asked)
    assert samples[key("segwright_requests_total", status="200")] == 2, "probes are not counted"
    assert samples[key("segwright_requests_total", status="400")] == 1
    assert key("segwright_requests_total", status="503") not in samples
    assert samples[key("segwright_request_seconds_count")] == 2
    for stage, count in (("decode", 3), ("network", 2), ("encode", 2)):
        assert samples[key("segwright_stage_seconds_count", stage=stage)] == count
        assert samples[key("segwright_stage_seconds_sum", stage=stage)] > 0
    assert samples[key("segwright_image_pixels_sum")] == 40 * 57 + 200 * 300
    assert samples[key("segwright_image_pixels_bucket", le="10000.0")] == 1


def test_the_queue_and_the_models_are_as_they_are_now(model: Model, pool: InferencePool) -> None:
    holder = ModelHolder(name="roads")
    asked = TestClient(single_model_app(holder, pool))
    assert not any(name == "segwright_model_info" for name, _ in read(asked))
    holder.model = model
    with pool.admit(), pool.admit():
        pool.busy_threads += 1
        samples = read(asked)
        pool.busy_threads -= 1
    assert samples[key("segwright_requests_in_flight")] == 2 and samples[key("segwright_requests_waiting")] == 1
    (info,) = (dict(labels) for name, labels in samples if name == "segwright_model_info")
    assert (info["model"], info["algorithm"], info["precision"], info["device"]) == ("roads", "fcn", "float32", "cpu")
    pool.busy_threads = 1  # at work for a client that is gone
    samples = read(asked)
    assert samples[key("segwright_requests_in_flight")] == samples[key("segwright_requests_waiting")] == 0


def test_numbers_are_for_those_who_ask_for_them(model: Model, pool: InferencePool) -> None:
    pool.settings = ServingSettings()
    answer = TestClient(single_model_app(ModelHolder(model), pool)).get("/metrics")
    assert answer.status_code == 404 and "GET /metrics" not in answer.text
