"""The server from outside: several models, models that take their time, and how it all ends."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from segwright.inference import load
from tests.helpers.served import (
    Server,
    connected,
    picture,
    pixels,
    received,
    request,
    server,
    wait_until,
    write_bundle,
)

# Models in the folder `slow` compute when a file is there, row by row, and say so.
SEVERAL = """
import sys, time
from pathlib import Path
import torch
from segwright.console import set_up_logging
from segwright.inference.logits import Block
from segwright.serving import ServingSettings, middleware, serve_models, server

root, gate, draining, timeout = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
really_load = server.load

def load(directory, **options):
    model = really_load(directory, **options)

    def blocks(image):
        print("computing", flush=True)
        while not gate.exists():
            time.sleep(0.005)
        for row in range(len(image)):
            yield Block(slice(row, row + 1), slice(None), torch.zeros(3, 1, image.shape[1]))
        print("computed", flush=True)

    if directory.parent.name == "slow":
        model.blocks = blocks
    return model

server.load, server._DRAINING, middleware._MAX_DRAINING = load, draining, min(draining, 5)
set_up_logging()
serve_models(root, settings=ServingSettings(port=0, device="cpu", timeout=timeout, log_metrics=True))
"""

LOADING = """
import sys, torch
from pathlib import Path
from segwright.serving import ServingSettings, serve, server

def load(directory, **options):
    print("loading", flush=True)
    while True:
        torch.nn.Conv2d(256, 256, 3)

server.load = load
serve(Path("model"), ServingSettings(port=0, device="cpu"))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("several") / "models"
    for seed, name in enumerate(("one", "two", "slow")):
        write_bundle(root / name / "model", seed)
    return root


@pytest.fixture
def gate(root: Path) -> Iterator[Path]:
    gate = root.parent / "gate"
    yield gate
    gate.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def several(root: Path) -> Iterator[Server]:
    with server("-c", SEVERAL, root, root.parent / "gate", "25", "3600") as running:
        yield running
        assert not any("Traceback" in line for line in running.messages), running.messages


@pytest.fixture
def asked(several: Server) -> Iterator[httpx2.Client]:
    with several.client() as client:
        yield client
        for model in client.get("/models").json()["models"]:
            assert client.delete(f"/models/{model['modelName']}").status_code == 200


def loaded(client: httpx2.Client, root: Path, name: str, url: str | None = None) -> httpx2.Response:
    return client.post("/models", json={"model_name": name, "url": url or str(root / name / "model")})


def begun(running: Server) -> int:
    """How many images the slow model has begun to compute."""
    return running.printed.count("computing\n")


def test_models_come_and_go(asked: httpx2.Client, root: Path) -> None:
    assert asked.get("/ping").status_code == 200 and asked.get("/models").json() == {"models": []}
    assert [loaded(asked, root, name).status_code for name in ("one", "two")] == [200, 200]
    listed = asked.get("/models").json()["models"]
    assert listed == [{"modelName": name, "modelUrl": str(root / name / "model")} for name in ("one", "two")]
    assert asked.get("/models/two").json() == listed[1]
    assert asked.delete("/models/one").status_code == 200
    assert asked.delete("/models/one").status_code == 404
    assert loaded(asked, root, "one").status_code == 200


def test_what_cannot_be_loaded_is_told(asked: httpx2.Client, root: Path) -> None:
    assert loaded(asked, root, "one").status_code == 200
    assert loaded(asked, root, "one", str(root / "two" / "model")).status_code == 409
    assert loaded(asked, root, "three", str(root.parent)).status_code == 400
    assert loaded(asked, root, "three").status_code == 404


def test_each_model_answers_by_its_name(asked: httpx2.Client, root: Path) -> None:
    for name in ("one", "two"):
        loaded(asked, root, name)
        target = {"Accept": "image/png", "X-Amzn-SageMaker-Target-Model": f"{name}.tar.gz"}
        answer = asked.post(f"/models/{name}/invoke", content=picture(), headers=target)
        assert (pixels(answer.content) == load(root / name / "model", "cpu").mask(pixels(picture()))).all()
    asked.delete("/models/one")
    gone = asked.post("/models/one/invoke", content=picture())
    assert gone.status_code == 404 and "POST /models" in gone.text
    assert asked.post("/models/two/invoke", content=picture()).status_code == 200


def test_ping_answers_while_all_threads_are_busy(several: Server, asked: httpx2.Client, root: Path, gate: Path) -> None:
    loaded(asked, root, "slow")
    before = begun(several)
    with several.client() as client, ThreadPoolExecutor(8) as threads:
        running = [threads.submit(client.post, "/models/slow/invoke", content=picture()) for _ in range(8)]
        wait_until(lambda: begun(several) > before)
        for _ in range(5):
            assert asked.get("/ping").status_code == 200
        assert not any(answer.done() for answer in running)
        gate.touch()
        assert [answer.result().status_code for answer in running] == [200] * 8


def test_a_model_is_unloaded_after_the_work_for_a_client_that_hung_up(
    several: Server, asked: httpx2.Client, root: Path, gate: Path
) -> None:
    loaded(asked, root, "slow")
    before, computed, printed = begun(several), several.printed.count("computed\n"), len(several.printed)
    with connected(several) as connection:
        connection.sendall(request("/models/slow/invoke", picture()))
        wait_until(lambda: begun(several) > before)
    with several.client() as client, ThreadPoolExecutor(1) as threads:
        client.get("/ping")  # the server has seen the end of the connection by now
        unloading = threads.submit(client.delete, "/models/slow")
        wait_until(lambda: asked.get("/models").json()["models"] == [])
        time.sleep(0.1)
        assert not unloading.done(), "a thread still computes with the model"
        gate.touch()
        assert unloading.result().status_code == 200
    assert several.printed.count("computed\n") == computed, "what nobody waits for is not computed to its end"
    assert not any(line.startswith("#metrics") for line in several.printed[printed:])


@pytest.fixture(scope="module")
def impatient(root: Path) -> Iterator[Server]:
    """One that gives clients two seconds, and what runs at the end half of one."""
    with server("-c", SEVERAL, root, root.parent / "gate", "0.5", "2") as running, running.client() as asked:
        assert loaded(asked, root, "slow").status_code == 200
        yield running


def test_an_upload_that_stalls_is_given_up(impatient: Server) -> None:
    with connected(impatient) as connection:
        connection.sendall(request("/models/slow/invoke", picture())[:-100])
        head, body = received(connection)
    assert head.startswith(b"HTTP/1.1 408 ") and b"connection: close" in head.lower()
    assert b"bytes came before time was up: send the request again." in body


def test_an_answer_that_nobody_takes_is_broken_off(impatient: Server, gate: Path) -> None:
    gate.touch()
    with connected(impatient, receive_buffer=4096) as connection:
        connection.sendall(request("/models/slow/invoke", picture("PNG", 1000, 1000), "*/*"))
        wait_until(lambda: any("was not taken within 2 s" in line for line in impatient.messages))
        head, body = received(connection)
    assert head.startswith(b"HTTP/1.1 200 ") and len(body) < 12_000_000


def test_what_runs_too_long_at_the_end_is_told_so(impatient: Server, gate: Path) -> None:
    before = begun(impatient)
    with connected(impatient) as connection:
        connection.sendall(request("/models/slow/invoke", picture()))
        wait_until(lambda: begun(impatient) > before)
        impatient.process.terminate()
        head, body = received(connection)
    assert head.startswith(b"HTTP/1.1 503 ") and body.startswith(b"The server is about to end: send")
    assert impatient.process.wait(60) == 0, "the thread that computes for ever does not keep the process"
    assert "waiting up to 0.5 s for 1 request in flight\n" in impatient.messages
    assert not any("graceful" in line for line in impatient.messages), "uvicorn's own words"
    assert not any("Traceback" in line for line in impatient.messages), impatient.messages


def test_sigterm_lets_a_request_finish(root: Path, several: Server, gate: Path) -> None:
    with several.client() as client:
        loaded(client, root, "slow")
    before = begun(several)
    with connected(several) as connection:
        connection.sendall(request("/models/slow/invoke", picture()))
        wait_until(lambda: begun(several) > before)
        several.process.terminate()
        wait_until(lambda: refused(several))
        gate.touch()
        head, body = received(connection)
    assert head.startswith(b"HTTP/1.1 200 ") and pixels(body).shape == (40, 57)
    assert several.process.wait(60) == 0, several.messages


def test_ctrl_c_says_what_it_waits_for_and_a_second_one_ends_at_once(root: Path, gate: Path) -> None:
    with server("-c", SEVERAL, root, gate, "25", "3600") as running, running.client() as asked:
        loaded(asked, root, "slow")
        with connected(running) as connection:
            connection.sendall(request("/models/slow/invoke", picture()))
            wait_until(lambda: begun(running) > 0)
            running.process.send(signal.SIGINT)
            wait_until(lambda: any("waiting up to" in line for line in running.messages))
            start = time.monotonic()
            running.process.send(signal.SIGINT)
            assert running.process.wait(60) == 130
    assert time.monotonic() - start < 10
    line = "waiting up to 25 s for 1 request in flight; Ctrl-C again ends at once"
    assert running.messages[-2:] == [f"{line}\n", "interrupted\n"], running.messages


def refused(running: Server) -> bool:
    try:
        httpx2.get(running.address + "/ping", trust_env=False)
    except httpx2.ConnectError:
        return True
    return False


def test_sigterm_does_not_wait_for_a_model_that_is_being_loaded() -> None:
    with server("-c", LOADING, sign="loading") as running:
        assert running.stop() == 0, running.messages
    assert running.messages == []
