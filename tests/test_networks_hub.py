import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub
import pytest

from segwright.errors import UserError
from segwright.networks import NetworkSpec, build_network, hub
from segwright.networks.hub import check_published

REPOSITORY = "models--timm--test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    huggingface_hub.close_session()  # it keeps the proxies that it began with
    return tmp_path


def set_endpoint(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
    template = f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


class Missing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Missing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_any_answer_means_that_the_hub_is_there(monkeypatch: pytest.MonkeyPatch, answering: int) -> None:
    set_endpoint(monkeypatch, answering)
    check_published("test_resnet")


def test_a_hub_that_refuses_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets it, and not listening
        taken.bind(("127.0.0.1", 0))
        set_endpoint(monkeypatch, taken.getsockname()[1])
        with pytest.raises(UserError, match=r"could not be fetched \(.*refused\)\. .* give a file as backbone_weights"):
            build_network(NetworkSpec("fcn", "test_resnet", num_classes=2), pretrained=True)


def test_a_silent_hub_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch, silent: int) -> None:
    set_endpoint(monkeypatch, silent)
    monkeypatch.setattr(hub, "_PATIENCE", 0.2)
    with pytest.raises(UserError, match="backbone_weights"):
        check_published("test_resnet")


def test_a_name_server_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url, timeout: free.wait(20))
    monkeypatch.setattr(hub, "_PATIENCE", 0.2)
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"no answer from https?://.* within 0\.2 seconds"):
        check_published("test_resnet")
    assert time.monotonic() - begun < 10
    free.set()


def test_what_the_cache_holds_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, silent: int, cache: Path) -> None:
    set_endpoint(monkeypatch, silent)
    monkeypatch.setattr(hub, "_PATIENCE", 0.2)
    snapshot = cache / REPOSITORY / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    check_published("test_resnet")


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as caught:
        build_network(NetworkSpec("fcn", "test_resnet", num_classes=2), pretrained=True)
    for cure in ("offline mode", "backbone_weights", "use_pretrained_model", "Hugging Face cache"):
        assert cure in str(caught.value)
