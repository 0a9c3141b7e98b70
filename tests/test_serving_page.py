"""The page's routes and headers; `browser_tests/` uses it in a browser."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from starlette.testclient import TestClient

from segwright.inference import Model, load
from segwright.serving import ServingSettings
from segwright.serving.app import ModelHolder, single_model_app
from segwright.serving.inference_pool import InferencePool
from segwright.serving.page import describe
from tests.helpers.served import CLASSES, picture, write_bundle

FILES = {file.name: file.read_text() for file in files("segwright.serving").joinpath("page_files").iterdir()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_bundle(tmp_path_factory.mktemp("page") / "model"), "cpu")


@pytest.fixture
def holder() -> ModelHolder:
    return ModelHolder()


@pytest.fixture
def asked(holder: ModelHolder) -> Iterator[TestClient]:
    pool = InferencePool(ServingSettings(page=True))
    yield TestClient(single_model_app(holder, pool), raise_server_exceptions=False)
    pool.close()


def test_the_page_is_there_while_the_model_is_loaded(asked: TestClient, holder: ModelHolder, model: Model) -> None:
    answer = asked.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == FILES["index.html"]
    waiting = asked.get("/page/model")
    assert waiting.status_code == 503 and "still being loaded" in waiting.text
    holder.model = model
    answer = asked.get("/page/model")
    assert answer.status_code == 200 and answer.json() == json.loads(json.dumps(describe(model)))


def test_a_model_is_described_as_the_page_needs_it(model: Model) -> None:
    described = describe(model)
    assert described["classes"] == [{"name": entry.name, "colour": entry.colour} for entry in CLASSES]
    assert described["background"] == (0,) and described["upright"] is False and described["device"] == "cpu"


def test_the_page_may_run_and_load_nothing_from_elsewhere(asked: TestClient) -> None:
    for path in ("/", "/page/main.js", "/page/style.css", "/page/page.css"):
        answer = asked.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache", "else an update would show the old page"
    assert asked.get("/page/main.js").headers["content-type"].startswith("text/javascript")


def test_the_page_obeys_its_own_policy() -> None:
    page = FILES["index.html"]
    assert not re.findall(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", page)
    for name, text in FILES.items():
        assert "innerHTML" not in text and "eval(" not in text and not re.findall(r"https?://(?!www\.w3\.org)", text), (
            name
        )


def test_all_that_the_page_names_is_there(asked: TestClient) -> None:
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', FILES["index.html"])
    named += [f"page/{name}" for text in FILES.values() for name in re.findall(r'from "\./([^"]+)"', text)]
    assert len(named) > 6
    for path in set(named):
        assert asked.get(f"/{path}").status_code == 200, path
    ids = set(re.findall(r'\bid="([^"]+)"', FILES["index.html"]))
    used = set(re.findall(r'find\("([^"]+)"\)', FILES["main.js"]))
    assert used and used <= ids


@pytest.mark.parametrize("name", ["missing.js", "page.py", "..%2Fpage.py", "%2e%2e/page.py", "__init__.py", ""])
def test_no_other_file_is_given(asked: TestClient, name: str) -> None:
    answer = asked.get(f"/page/{name}")
    assert answer.status_code == 404 and "import" not in answer.text


def test_without_the_page_there_is_nothing_at_the_root(holder: ModelHolder, model: Model) -> None:
    holder.model = model
    pool = InferencePool(ServingSettings())
    asked = TestClient(single_model_app(holder, pool), raise_server_exceptions=False)
    for path in ("/", "/page/model", "/page/main.js"):
        answer = asked.get(path)
        assert answer.status_code == 404 and "this server knows GET /ping" in answer.text
    pool.close()


def test_the_answer_that_the_page_asks_for(asked: TestClient, holder: ModelHolder, model: Model) -> None:
    holder.model = model
    accept = re.findall(r'ACCEPT = "([^"]+)"', FILES["server.js"])[0]
    answer = asked.post("/invocations", content=picture(), headers={"Accept": accept})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/x-npy"
    assert "content-encoding" not in answer.headers, "the page inflates it by itself"
