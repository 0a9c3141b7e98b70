"""The server from outside: real processes, real HTTP."""

import base64
import gzip
import io
import logging
import os
import re
import resource
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from segwright import client as decoder
from segwright.cli import main
from segwright.console import PACKAGE_LOGGER
from segwright.inference import load
from segwright.serving.inference_pool import MAX_WAITING
from tests.helpers.served import (
    CLASSES,
    Server,
    connected,
    picture,
    pixels,
    request,
    server,
    wait_until,
    write_bundle,
)

BOMB = gzip.compress(bytes(1 << 26))
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[Server]:
    environment = {**os.environ, "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20"}
    arguments = ("-m", "segwright", "serve", bundle, "--port", "0", "--device", "cpu")
    with server(*arguments, environment=environment) as running:
        yield running
        assert running.stop() == 0, running.messages
        assert not any("Traceback" in line for line in running.messages), running.messages
        assert running.printed == [], "lines of metrics are for SageMaker"


@pytest.fixture
def asked(served: Server) -> Iterator[httpx2.Client]:
    with served.client() as client:
        yield client


@pytest.fixture(scope="module")
def expected(bundle: Path) -> np.ndarray:
    mask = load(bundle, "cpu").mask(pixels(picture()))
    assert len(np.unique(mask)) > 1, "or else the tests show little"
    return mask


def invoke(
    client: httpx2.Client, accept: str | None = None, body: bytes | None = None, headers: dict[str, str] | None = None
) -> httpx2.Response:
    request = client.build_request("POST", "/invocations", content=picture() if body is None else body, headers=headers)
    del request.headers["Accept"]
    if accept is not None:
        request.headers["Accept"] = accept
    return client.send(request)


def test_ping_and_execution_parameters(asked: httpx2.Client) -> None:
    ping = asked.get("/ping")
    assert ping.status_code == 200 and ping.content == b""
    announced = asked.get("/execution-parameters")
    assert announced.json() == {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 10}
    assert asked.get("/elsewhere").status_code == 404 and asked.get("/invocations").status_code == 405
    assert asked.get("/models").status_code == 404


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/x-recordio-protobuf",
        "application/x-protobuf",
        "image/png",
        "image/png;palette=1",
        "application/x-npy",
        "application/x-npy;gzip=1",
        "application/x-npy;output=probabilities",
        "application/x-npy;output=probabilities;dtype=float16;gzip=1",
        "application/json",
        "text/html;q=0.9, image/*",
    ],
)
def test_every_accept_gives_the_same_mask(asked: httpx2.Client, expected: np.ndarray, accept: str | None) -> None:
    answer = invoke(asked, accept)
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"]
    assert "content-encoding" not in answer.headers
    accepted = (accept or "*/*").partition(";")[0]
    assert kind == ("image/png" if accepted in ("*/*", "image/png", "text/html") else accepted)
    assert (decoder.read_mask(answer.content, kind) == expected).all()


def test_the_answers_are_what_they_say(asked: httpx2.Client, bundle: Path, expected: np.ndarray) -> None:
    exact = load(bundle, "cpu").probabilities(pixels(picture()))
    probabilities = decoder.read_probabilities(invoke(asked, "application/x-recordio-protobuf").content)
    assert probabilities.shape == (3, 40, 57) and np.abs(probabilities.sum(0) - 1).max() < 1e-5
    assert np.abs(probabilities - exact).max() < 1e-5
    halves = gzip.decompress(invoke(asked, "application/x-npy;output=probabilities;dtype=float16;gzip=1").content)
    assert np.load(io.BytesIO(halves)).dtype == np.float16
    assert (pixels(invoke(asked, "image/png").content) == expected).all()
    document = invoke(asked, "application/json").json()
    assert [entry["name"] for entry in document["classes"]] == [entry.name for entry in CLASSES]
    assert sum(segment["area"] for segment in document["segments"]) == 40 * 57


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/jpeg", "JPEG"),
        ("image/png", "PNG"),
        ("application/x-image", "JPEG"),
        ("application/octet-stream", "PNG"),
        ("IMAGE/PNG; name=a", "JPEG"),
        ("image/tiff", "TIFF"),
        ("image/bmp", "BMP"),
        ("image/webp", "WebP"),
        ("application/x-www-form-urlencoded", "PNG"),
        ("", "PNG"),
        (None, "PNG"),
    ],
)
def test_content_types_are_hints(asked: httpx2.Client, content_type: str | None, kind: str) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = invoke(asked, "image/png", picture(kind), headers)
    assert answer.status_code == 200 and pixels(answer.content).shape == (40, 57)


@pytest.mark.parametrize(
    ("status", "cure", "headers", "body"),
    [
        (415, "send one as image/jpeg", {"Content-Type": "application/json"}, b"{}"),
        (415, "text/csv is no image", {"Content-Type": "text/csv"}, picture()),
        (415, "send the file alone", {"Content-Type": "multipart/form-data; boundary=x"}, picture()),
        (415, "is no image: send one as", {"Content-Type": "text/plain"}, base64.b64encode(picture())),
        (415, "only gzip and deflate are undone", {"Content-Encoding": "br"}, picture()),
        (413, "20,971,520 or more bytes when inflated", {"Content-Encoding": "gzip"}, BOMB),
        (400, "is a PNG image as it is", {"Content-Encoding": "gzip"}, picture()),
        (400, "The body is base64 text: send the bytes themselves (API Gateway", {}, base64.b64encode(picture())),
        (400, "its line ends are gone: curl --data-binary", {}, picture().translate(None, b"\r\n\0")),
        (400, "its line ends are gone: curl --data-binary", {}, picture("JPEG").translate(None, b"\r\n\0")),
        (415, "send one as image/", {"Content-Type": "application/x-recordio"}, picture()),
        (400, "The body is empty", {}, b""),
        (400, "truncated or damaged", {}, picture("JPEG")[:-200]),
        (400, "send one whole JPEG", {}, b"poison"),
        (413, "20,971,520 are read at most: send a smaller", {}, bytes(21 << 20)),
    ],
)
def test_what_cannot_be_used_gets_one_sentence(
    asked: httpx2.Client, status: int, cure: str, headers: dict[str, str], body: bytes
) -> None:
    answer = invoke(asked, "image/png", body, headers)
    assert answer.status_code == status and cure in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.text.splitlines()) == 1 and len(answer.text) < 400 and "Traceback" not in answer.text
    assert invoke(asked, "image/png").status_code == 200, "the next request is none the worse"


def test_a_mask_comes_with_how_sure_the_network_is(asked: httpx2.Client, bundle: Path, expected: np.ndarray) -> None:
    answer = invoke(asked, "application/x-npy;output=confidence;gzip=1")
    assert (decoder.read_mask(answer.content) == expected).all()
    highest = load(bundle, "cpu").probabilities(pixels(picture())).max(0)
    assert np.abs(decoder.read_confidence(answer.content) - highest).max() <= 0.51 / 255


def test_every_answer_says_how_long_its_stages_took(asked: httpx2.Client) -> None:
    timing = invoke(asked, "image/png").headers["server-timing"]
    assert re.fullmatch(r"decode;dur=[\d.]+, network;dur=[\d.]+, encode;dur=[\d.]+", timing)
    unread = invoke(asked, "image/png;on_error=empty", b"poison")
    assert re.fullmatch(r"decode;dur=[\d.]+, encode;dur=[\d.]+", unread.headers["server-timing"])


def test_a_laptop_has_a_page_and_says_where(served: Server, asked: httpx2.Client, bundle: Path) -> None:
    assert asked.get("/").headers["content-type"].startswith("text/html")
    assert asked.get("/page/model").json()["classes"]
    assert any(f"open {served.address} in a browser" in line for line in served.messages)
    arguments = ("-m", "segwright", "serve", bundle, "--port", "0", "--device", "cpu", "--no-page")
    with server(*arguments) as running, running.client() as client:
        wait_until(lambda: client.get("/ping").status_code == 200)
        assert client.get("/").status_code == 404
        assert not any("in a browser" in line for line in running.messages)


def test_the_first_lines_say_what_to_copy(served: Server) -> None:
    assert served.messages[0].startswith("precision auto: ")
    first = next(index for index, line in enumerate(served.messages) if line.endswith("; Ctrl-C ends it. Try:\n"))
    hint = served.messages[first + 1]
    assert hint == f"curl --data-binary @photo.jpg {served.address}/invocations -o mask.png\n"


def test_numbers_are_there_for_prometheus(asked: httpx2.Client) -> None:
    invoke(asked)
    numbers = asked.get("/metrics").text
    assert 'segwright_requests_total{status="200"}' in numbers and 'model="model"' in numbers


def test_an_accept_that_nothing_fits_is_406_with_what_is_offered(asked: httpx2.Client) -> None:
    assert "image/png" in invoke(asked, "text/html").text
    wrong = invoke(asked, "image/png;palette=2")
    assert wrong.status_code == 406 and "palette=0 or palette=1" in wrong.text


def test_custom_attributes_come_back(asked: httpx2.Client) -> None:
    good = invoke(asked, "image/png", headers={ATTRIBUTES: "trace=1, who=me"})
    bad = invoke(asked, "image/png", b"poison", {ATTRIBUTES: "trace=2"})
    assert good.headers[ATTRIBUTES] == "trace=1, who=me" and bad.headers[ATTRIBUTES] == "trace=2"
    assert ATTRIBUTES not in invoke(asked, "image/png").headers


def test_a_body_in_chunks_is_read_as_well(asked: httpx2.Client, expected: np.ndarray) -> None:
    sent = picture()
    pieces = (sent[start : start + 1000] for start in range(0, len(sent), 1000))
    answer = asked.post("/invocations", content=pieces, headers={"Accept": "image/png"})
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.status_code == 200 and (pixels(answer.content) == expected).all()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_compressed_body_is_inflated(asked: httpx2.Client, expected: np.ndarray, chunked: bool) -> None:
    sent = gzip.compress(picture("BMP"))
    pieces = (sent[start : start + 1000] for start in range(0, len(sent), 1000))
    headers = {"Accept": "image/png", "Content-Type": "image/bmp", "Content-Encoding": "gzip"}
    answer = asked.post("/invocations", content=pieces if chunked else sent, headers=headers)
    assert answer.status_code == 200 and (pixels(answer.content) == expected).all()


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
def test_bombs_take_no_more_memory_than_the_limit(served: Server, asked: httpx2.Client) -> None:
    def peak() -> int:
        lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    before = peak()
    for _ in range(3):
        assert invoke(asked, "image/png", BOMB, {"Content-Encoding": "gzip"}).status_code == 413
    assert peak() - before < 30 << 20, "20 MiB may be inflated"


@pytest.mark.parametrize(
    ("path", "accept", "mebibytes", "status"),
    [("invocations", "text/csv", 6, 406), ("invocations", "image/png", 30, 413), ("nowhere", "image/png", 6, 404)],
)
def test_refusals_reach_clients_that_send_everything_before_they_listen(
    served: Server, path: str, accept: str, mebibytes: int, status: int
) -> None:
    asked = urllib.request.Request(f"{served.address}/{path}", bytes(mebibytes << 20), {"Accept": accept})
    for _ in range(3):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=60)
        with refused.value as answer:
            assert answer.code == status and answer.read()


def test_who_asks_before_it_sends_need_not_send(served: Server) -> None:
    with connected(served) as connection:
        head = request("/invocations", b"", "text/csv").replace(b"Content-Length: 0", b"Content-Length: 9000000")
        connection.sendall(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 406 ")
    with connected(served) as connection:
        head = request("/invocations", b"").replace(b"Content-Length: 0", b"Content-Length: 9000000")
        connection.sendall(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\nContent-Encoding: br\r\n\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 415 ")


def test_clients_that_hang_up_while_they_send_leave_their_slots(served: Server, asked: httpx2.Client) -> None:
    part = request("/invocations", picture())[:-100]
    for _ in range(MAX_WAITING + 10):
        with connected(served) as connection:
            connection.sendall(part)
    wait_until(lambda: invoke(asked, "image/png").status_code == 200)  # the server may not have seen the last of them


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
def test_memory_stays_bounded(served: Server, asked: httpx2.Client) -> None:
    image = picture("BMP", 150, 200)  # 90 kB, of which 360 kB of answer are made
    held = []
    for _ in range(2):
        for _ in range(50):
            assert invoke(asked, None, image).status_code == 200
        held.append(int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1]) * resource.getpagesize())
    assert held[1] - held[0] < 11 << 20, "a half of what these requests have to hold"


def test_a_port_that_is_taken_is_one_clear_error(
    served: Server, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = served.address.rpartition(":")[2]
    assert main(["serve", str(bundle), "--port", port]) == 2
    assert f"port {port} of 127.0.0.1 is in use" in capsys.readouterr().err
    assert main(["serve", str(bundle), "--host", "203.0.113.7", "--port", "0"]) == 2
    assert "cannot listen at 203.0.113.7" in capsys.readouterr().err
    assert main(["serve", str(bundle), "--host", "a" * 64, "--port", "0"]) == 2
    assert "which is no name or address" in capsys.readouterr().err


def test_a_model_that_is_none_ends_the_server_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "ERROR")
    assert main(["serve", str(tmp_path / "nothing"), "--port", "0", "--device", "cpu"]) == 2
    assert "nothing does not exist" in capsys.readouterr().err
    assert PACKAGE_LOGGER.level == logging.ERROR, "the command sets it"
    PACKAGE_LOGGER.setLevel(logging.INFO)


def test_without_the_extra_serve_says_what_to_install(bundle: Path) -> None:
    script = "import sys; sys.modules['uvicorn'] = None; from segwright.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", script, "serve", str(bundle)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: serving needs the package uvicorn: pip install 'segwright[serve]'\n"


def test_the_log_says_what_computes_and_what_may_be_faster(served: Server, bundle: Path) -> None:
    log = "".join(served.messages)
    assert "precision auto: float32 with PyTorch" in log
    assert f"segwright export {bundle} --format openvino may make it faster" in log
