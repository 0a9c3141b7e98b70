"""S3 on loopback for tests: moto's server, and before it a proxy that counts, and fails when told to.

A test module takes the fixtures by their names: `moto_address, faults, bucket = s3_server.moto_address, ...`.
"""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

from segwright.storage import s3

BUCKET = "pictures"


class Faults:
    """What the next answers will be like, what was asked, and how many requests were under way at once."""

    def __init__(self) -> None:
        self.errors = 0
        self.cuts = 0
        self.gets: list[str] = []
        self.heads = 0
        self.now = 0
        self.most = 0
        self.lock = threading.Lock()

    @property
    def fetched(self) -> list[str]:
        """The keys of the objects that were fetched, listings left out."""
        return [unquote(path.split("/", 2)[2].partition("?")[0]) for path in self.gets if "list-type=" not in path]


@pytest.fixture(scope="module")
def moto_address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def faults(moto_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """S3 for this test, through a proxy whose faults can be set."""
    faults = Faults()

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with faults.lock:
                faults.gets += [self.path] if self.command == "GET" else []
                faults.heads += self.command == "HEAD"
                faults.now += 1
                faults.most = max(faults.most, faults.now)
                fail, cut = faults.errors > 0, faults.cuts > 0
                faults.errors -= fail
                faults.cuts -= cut and not fail
            try:
                self.answer(fail, cut)
            finally:
                with faults.lock:
                    faults.now -= 1

        def do_HEAD(self) -> None:
            self.do_GET()

        def answer(self, fail: bool, cut: bool) -> None:
            if fail:
                self.send_error(503)
                return
            request = Request(moto_address + self.path, headers=dict(self.headers.items()), method=self.command)
            try:
                with urlopen(request) as response:
                    status, headers, body = response.status, response.headers, response.read()
            except HTTPError as error:
                status, headers, body = error.code, error.headers, error.read()
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection", "date", "server", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", headers["Content-Length"] if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
    monkeypatch.setattr(s3, "_PAUSES", (0.01, 0.02, 0.04))
    s3._client.cache_clear()
    yield faults
    s3._client.cache_clear()
    proxy.shutdown()
    proxy.server_close()


@pytest.fixture
def bucket(moto_address: str, faults: Faults) -> Iterator[object]:
    client = boto3.client("s3", endpoint_url=moto_address)
    client.create_bucket(Bucket=BUCKET)
    yield client
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def upload(client: object, folder: Path, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.put_object(  # type: ignore[attr-defined]
                Bucket=BUCKET, Key=f"{prefix}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes()
            )
