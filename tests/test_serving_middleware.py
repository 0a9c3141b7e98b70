from collections.abc import Iterator
from typing import cast

import pytest
from starlette.testclient import TestClient

from segwright.errors import UserError
from segwright.inference import Model, load
from segwright.serving import ServingSettings
from segwright.serving.app import ModelHolder, single_model_app
from segwright.serving.inference_pool import InferencePool
from segwright.serving.middleware import allow_origins, parse_origin, refuse_other_hosts
from tests.helpers.served import picture, write_bundle

PAGE = "https://app.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, x-amzn-sagemaker-custom-attributes",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_bundle(tmp_path_factory.mktemp("origins") / "model"), "cpu")


@pytest.fixture
def pool() -> Iterator[InferencePool]:
    made = InferencePool(ServingSettings())
    yield made
    made.close()


def client(pool: InferencePool, model: Model, *origins: str) -> TestClient:
    app = single_model_app(ModelHolder(model), pool)
    return TestClient(allow_origins(app, origins), raise_server_exceptions=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/ping"])
def test_on_loopback_other_names_of_the_server_are_refused(
    pool: InferencePool, model: Model, host: str, path: str
) -> None:
    pool.settings = ServingSettings(host=host, page=True, metrics=True)
    asked = TestClient(refuse_other_hosts(single_model_app(ModelHolder(model), pool), host))
    for own in ("localhost", "127.0.0.1", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"):
        assert asked.get(path, headers={"Host": own}).status_code == 200
    for other in ("evil.example", "evil.example:8080", "localhost.evil.example", "192.168.0.2", "", "[::1"):
        assert asked.get(path, headers={"Host": other}).status_code == 400


def test_beyond_loopback_every_name_is_answered(pool: InferencePool, model: Model) -> None:
    for host in ("0.0.0.0", "::", "192.168.0.2", "gpu-box"):
        asked = TestClient(refuse_other_hosts(single_model_app(ModelHolder(model), pool), host))
        assert asked.get("/ping", headers={"Host": "model.endpoint.example"}).status_code == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", "*"),
        ("null", "null"),
        (PAGE, PAGE),
        ("HTTPS://App.Example/", PAGE),
        ("https://app.example:443", PAGE),
        ("http://app.example:443", "http://app.example:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_origins_are_spelled_as_browsers_spell_them(text: str, expected: str) -> None:
    assert parse_origin(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app.example",
        "localhost:3000",
        "https://",
        "https://app.example/page",
        "https://app.example?x",
        "https://*.example",
        "https://a b",
        "https://me@app.example",
        "https://a:port",
        "https://" + "a" * 64,
        f"{PAGE},http://b",
    ],
)
def test_what_is_no_origin_is_one_clear_error(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_origin(text)
    assert str(caught.value).startswith(f"allow_origin is {text}; it takes ") and PAGE in str(caught.value)


def test_a_preflight_is_answered_and_the_answer_can_be_read(pool: InferencePool, model: Model) -> None:
    asked = client(pool, model, PAGE, "http://localhost:3000")
    answer = asked.options("/invocations", headers=PREFLIGHT | {"Access-Control-Request-Private-Network": "true"})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"] and "Origin" in answer.headers["vary"]
    assert answer.headers["access-control-allow-headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    assert answer.headers["access-control-allow-private-network"] == "true"
    headers = {"Origin": PAGE, "Accept": "image/png", "X-Amzn-SageMaker-Custom-Attributes": "id=7"}
    answer = asked.post("/invocations", content=picture("PNG", 400, 600), headers=headers)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    assert answer.headers["access-control-allow-origin"] == PAGE and answer.headers["vary"] == "Origin"
    assert answer.headers["access-control-expose-headers"].startswith(
        "X-Amzn-SageMaker-Custom-Attributes, X-Request-Id"
    )


def test_a_page_can_read_refusals_and_failures_as_well(pool: InferencePool, model: Model) -> None:
    asked = client(pool, model, PAGE)
    for path, body, status in (("/invocations", b"poison", 400), ("/nowhere", b"", 404), ("/ping", b"", 405)):
        answer = asked.post(path, content=body, headers={"Origin": PAGE})
        assert answer.status_code == status and answer.headers["access-control-allow-origin"] == PAGE, path
    broken = client(pool, cast(Model, "no model"), PAGE)
    answer = broken.post("/invocations", content=picture(), headers={"Origin": PAGE})
    assert answer.status_code == 500 and answer.headers["access-control-allow-origin"] == PAGE


def test_pages_of_other_origins_stay_outside(pool: InferencePool, model: Model) -> None:
    asked = client(pool, model, PAGE)
    refused = asked.options("/invocations", headers=PREFLIGHT | {"Origin": "https://other.example"})
    assert refused.status_code == 400 and "access-control-allow-origin" not in refused.headers
    answer = asked.post("/invocations", content=picture(), headers={"Origin": "https://other.example"})
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


def test_a_star_is_every_page(pool: InferencePool, model: Model) -> None:
    asked = client(pool, model, "*")
    assert asked.options("/invocations", headers=PREFLIGHT).headers["access-control-allow-origin"] == "*"
    assert asked.get("/ping", headers={"Origin": "null"}).headers["access-control-allow-origin"] == "*"


def test_without_origins_all_stays_as_it_is(pool: InferencePool, model: Model) -> None:
    asked = client(pool, model)
    answer = asked.options("/invocations", headers=PREFLIGHT)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    sentence = (
        "/invocations takes POST, not OPTIONS; this server knows GET /ping, GET /execution-parameters, POST "
        "/invocations."
    )
    assert answer.text == f"{sentence} A page of another origin asks here: allow_origin admits it."
    assert asked.options("/invocations").text == sentence
    answer = asked.get("/ping", headers={"Origin": PAGE})
    assert not {"vary", "access-control-allow-origin"} & {name.lower() for name in answer.headers}
