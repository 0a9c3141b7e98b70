"""The application without a process: what only happens while loading, or where the server itself fails."""

import asyncio
import gzip
import io
import json
import logging
import re
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient
from starlette.types import Message
from tifffile import imwrite

from segwright.client import read_mask
from segwright.formats.images import encode_png
from segwright.inference import Model, load
from segwright.serving import ServingSettings
from segwright.serving.app import ModelHolder, multi_model_app, single_model_app
from segwright.serving.inference_pool import MAX_WAITING, InferencePool
from segwright.serving.multi_model import ModelStore
from tests.helpers.served import banded, picture, write_bundle


@pytest.fixture
def pool() -> Iterator[InferencePool]:
    made = InferencePool(ServingSettings())
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_bundle(tmp_path_factory.mktemp("app") / "model"), "cpu")


def client(holder: ModelHolder, pool: InferencePool) -> TestClient:
    return TestClient(single_model_app(holder, pool), raise_server_exceptions=False)


def test_while_the_model_is_loaded_the_server_says_so(pool: InferencePool, model: Model) -> None:
    holder = ModelHolder()
    asked = client(holder, pool)
    assert asked.get("/ping").status_code == 503
    answer = asked.post("/invocations", content=picture())
    assert answer.status_code == 503 and "still being loaded" in answer.text
    holder.model = model
    assert asked.get("/ping").status_code == 200
    assert asked.post("/invocations", content=picture()).status_code == 200


def test_a_broken_device_is_unhealthy(pool: InferencePool, model: Model) -> None:
    asked = client(ModelHolder(model), pool)
    pool.broken = True
    assert asked.get("/ping").status_code == 503


def test_a_fault_of_ours_is_one_sentence(pool: InferencePool) -> None:
    asked = client(ModelHolder(cast(Model, "no model")), pool)
    answer = asked.post("/invocations", content=picture(), headers={"X-Amzn-SageMaker-Custom-Attributes": "id=7"})
    assert answer.status_code == 500
    assert answer.text == "The server failed at this request, which is a fault of its own: its log says more."
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "id=7"
    assert answer.headers["connection"] == "close", "since uvicorn closes it"


def test_a_full_queue_asks_to_come_again(pool: InferencePool, model: Model) -> None:
    asked = client(ModelHolder(model), pool)
    with ExitStack() as slots:
        for _ in range(2 + MAX_WAITING):
            slots.enter_context(pool.admit())
        answer = asked.post("/invocations", content=picture())
        assert answer.status_code == 503 and "retry shortly" in answer.text
    for _ in range(2 + MAX_WAITING + 1):
        assert asked.post("/invocations", content=b"poison").status_code == 400
    assert asked.post("/invocations", content=picture()).status_code == 200


def test_an_answer_keeps_its_slot_until_it_is_taken(pool: InferencePool, model: Model) -> None:
    app = single_model_app(ModelHolder(model), pool)

    async def run() -> None:
        answered, taken = asyncio.Event(), asyncio.Event()

        async def take(_message: Message) -> None:
            answered.set()
            await taken.wait()

        to_come = [picture()]

        async def receive() -> Message:
            if to_come:
                return {"type": "http.request", "body": to_come.pop()}
            await taken.wait()
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], "query_string": b""}
        with ExitStack() as slots:
            for _ in range(1 + MAX_WAITING):
                slots.enter_context(pool.admit())
            request = asyncio.ensure_future(app(scope, receive, take))
            await answered.wait()
            with pytest.raises(HTTPException), pool.admit():
                pass
            taken.set()
            await request
            slots.enter_context(pool.admit())

    asyncio.run(run())


def test_what_is_nowhere_says_what_there_is(pool: InferencePool, model: Model, tmp_path: Path) -> None:
    single = client(ModelHolder(model), pool)
    several = several_models(pool, tmp_path)
    for asked, path, cure in (
        (single, "/models", "GET /ping, GET /execution-parameters, POST /invocations."),
        (single, "/", "There is nothing at /; this server knows GET /ping,"),
        (single, "/ping/", "There is nothing at /ping/;"),
        (single, "/a%0Ab", "There is nothing at /a b; this server"),
        (several, "/invocations", "POST /models/NAME/invoke."),
    ):
        answer = asked.post(path)
        assert answer.status_code == 404 and cure in answer.text, answer.text
    for asked, method, path, allowed, cure in (
        (single, "GET", "/invocations", "POST", "/invocations takes POST, not GET; this server"),
        (single, "POST", "/ping", "GET, HEAD", "/ping takes GET or HEAD, not POST; this server"),
        (several, "PUT", "/models", "GET, HEAD, POST", "/models takes GET or HEAD or POST, not PUT; this server"),
        (several, "POST", "/models/one", "DELETE, GET, HEAD", "/models/one takes DELETE or GET or HEAD, not POST;"),
    ):
        answer = asked.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed) and answer.text.startswith(cure)
        routes = "POST /invocations." if asked is single else "POST /models/NAME/invoke."
        assert "knows GET /ping, GET /execution-parameters, " in answer.text and answer.text.endswith(routes)


def several_models(pool: InferencePool, root: Path) -> TestClient:
    store = ModelStore(root, load, torch.device("cpu"))
    return TestClient(multi_model_app(store, pool))


@pytest.mark.parametrize(
    "message",
    [
        rb'{"model_name": "\ud800", "url": "x"}',
        rb'{"model_name": "x", "url": "\udfff"}',
        b'{"model_name": "x"}',
        b'{"model_name": 1, "url": "x"}',
        b"[]",
        b"{",
        b"[" * 60_000,
        b"1" * 5_000,
    ],
)
def test_what_names_no_model_is_one_sentence(pool: InferencePool, tmp_path: Path, message: bytes) -> None:
    answer = several_models(pool, tmp_path).post("/models", content=message)
    assert answer.status_code == 400 and "JSON of two texts" in answer.text


def test_a_message_without_end_is_refused(pool: InferencePool, tmp_path: Path) -> None:
    answer = several_models(pool, tmp_path).post("/models", content=b" " * 70_000)
    assert answer.status_code == 413 and answer.text.endswith("are read at most: send nothing but model_name and url.")


def test_an_accept_without_end_is_refused(pool: InferencePool, model: Model) -> None:
    answer = client(ModelHolder(model), pool).post("/invocations", headers={"Accept": '"' * 60_000})
    assert answer.status_code == 406 and "Accept has 60,000 characters, but 1,024 are read" in answer.text


@pytest.mark.parametrize("accept", ["image/png", "application/x-npy", "application/json"])
def test_a_batch_job_may_survive_a_damaged_image(pool: InferencePool, model: Model, accept: str) -> None:
    asked = client(ModelHolder(model), pool)
    damaged = picture("JPEG")[:-200]
    assert asked.post("/invocations", content=damaged, headers={"Accept": accept}).status_code == 400
    answer = asked.post("/invocations", content=damaged, headers={"Accept": f"{accept};on_error=empty"})
    mask = read_mask(answer.content, answer.headers["content-type"])
    assert answer.status_code == 200 and mask.shape == (40, 57) and (mask == 255).all()
    for refused in ("application/x-protobuf", "application/x-npy;output=probabilities"):
        headers = {"Accept": f"{refused};on_error=empty"}
        assert asked.post("/invocations", content=damaged, headers=headers).status_code == 406


def test_a_model_of_other_bands_is_served(pool: InferencePool, tmp_path: Path) -> None:
    five = load(write_bundle(tmp_path / "model", bands=5), "cpu")
    asked = client(ModelHolder(five), pool)
    stream = io.BytesIO()
    imwrite(stream, banded(5), photometric="minisblack", planarconfig="contig")
    answer = asked.post("/invocations", content=stream.getvalue(), headers={"Accept": "application/x-npy"})
    mask = read_mask(answer.content)
    assert (mask == five.mask(banded(5))).all() and len(np.unique(mask)) > 1
    refused = asked.post("/invocations", content=picture())
    assert refused.status_code == 400
    assert refused.text == (
        "The image has 3 bands of 8 bits instead of 5 bands of 8 bits; send one whole TIFF image of 5 bands of 8 bits."
    )


def test_the_default_accept_and_the_limit_are_settings(model: Model) -> None:
    settings = ServingSettings.from_environment(
        {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}
    )
    with closing(InferencePool(settings)) as pool:
        asked = client(ModelHolder(model), pool)
        answer = asked.post("/invocations", content=picture(), headers={"Accept": "*/*"})
        assert answer.headers["content-type"] == "image/png"
        announced = asked.post("/invocations", content=bytes((1 << 20) + 1))
        assert announced.status_code == 413 and "1,048,577 bytes, but 1,048,576 are read at most" in announced.text
        streamed = asked.post("/invocations", content=iter([bytes(1 << 20), b"1"]))
        assert streamed.status_code == 413 and "more than 1,048,576 bytes" in streamed.text


def test_a_disguised_body_is_called_by_name_by_each_kind_of_server(
    pool: InferencePool, model: Model, tmp_path: Path
) -> None:
    several = several_models(pool, tmp_path)
    write_bundle(tmp_path / "one")
    loading = {"model_name": "one", "url": str(tmp_path / "one")}
    sent = gzip.compress(json.dumps(loading).encode())
    assert several.post("/models", content=sent, headers={"Content-Encoding": "gzip"}).status_code == 200
    for asked, path in ((client(ModelHolder(model), pool), "/invocations"), (several, "/models/one/invoke")):
        for body, sentence in (
            (b"<!DOCTYPE html><html>", "The body is an HTML page: send the image itself"),
            (
                b'{"image": "/9j/4AAQSkZJRgABAQ=="}',
                "The body is JSON text with base64 in it: send the bytes of one image",
            ),
            (b"\0\0\0\x18ftypheic", "The body is a HEIC image, which is not read: convert it to JPEG."),
            (gzip.compress(picture()), "The body is gzip data: unpack it, or send it with the header Content-Encoding"),
        ):
            answer = asked.post(path, content=body)
            assert answer.status_code == 400 and answer.text.startswith(sentence), answer.text
        answer = asked.post(path, content=picture(), headers={"Content-Encoding": "zstd"})
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate, identity")
        body = zlib.compress(gzip.compress(picture()))
        assert asked.post(path, content=body, headers={"Content-Encoding": "gzip, deflate"}).status_code == 200


def test_each_answer_prints_a_line_of_metrics_in_the_container(model: Model, capfd: pytest.CaptureFixture[str]) -> None:
    for log_metrics in (True, False):
        start = time.time()
        with closing(InferencePool(ServingSettings(log_metrics=log_metrics))) as pool:
            for body in (picture(), b"poison", picture()):
                client(ModelHolder(model), pool).post("/invocations", content=body)
        lines = capfd.readouterr().out.splitlines()
        assert len(lines) == 2 * log_metrics and all(line.startswith("#metrics {") for line in lines)
        spans = []
        for line in lines:
            metrics = json.loads(line.removeprefix("#metrics "))
            spans += [metrics.pop("StartTime"), metrics.pop("EndTime")]
            assert metrics == {
                "Dimensions": {"Algorithm": "SemanticSegmentationModel", "Host": "UNKNOWN", "Operation": "scoring"},
                "Metrics": {"invocations.count": {"sum": 1.0, "count": 1, "min": 1, "max": 1}},
            }
        times = [start, *spans, time.time()]
        assert times == sorted(times)


def test_answers_do_not_need_a_standard_output(
    pool: InferencePool, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "settings", ServingSettings(log_metrics=True))
    asked = client(ModelHolder(model), pool)
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    assert asked.post("/invocations", content=picture()).status_code == 200


def test_the_size_of_images_is_limited_by_the_settings(model: Model) -> None:
    height, width = 41, 58
    body = encode_png(np.zeros((height, width, 3), np.uint8))
    for limit, status in ((height * width, 200), (height * width - 1, 413)):
        with closing(InferencePool(ServingSettings(max_pixels=limit))) as pool:
            asked = client(ModelHolder(model), pool)
            answer = asked.post("/invocations", content=body)
            assert answer.status_code == status
            empty = asked.post("/invocations", content=body, headers={"Accept": "application/json;on_error=empty"})
            assert empty.status_code == 200
    assert (
        answer.text
        == "The image has 58 x 41 pixels, more than the 2,377 that are read at most: cut it into smaller images."
    )


def test_refusals_are_logged(
    pool: InferencePool, model: Model, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("segwright"), "propagate", True)
    with caplog.at_level(logging.INFO, "segwright"):
        asked = client(ModelHolder(model), pool)
        asked.post("/invocations", content=b"x", headers={"Accept": "text/html"})
        asked.get("/a%0A%23metrics {}")
    assert re.search(r"POST /invocations 406 \d+ ms [0-9a-f]{16}: Accept is text/html", caplog.text)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and not any("\n" in message for message in messages), "a line each, whatever is sent"
