"""A model small enough to be served in tests, pictures to send, and the server as a process of its own."""

import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segwright.bundle import BundleWriter, ClassDescription, Description, host_copy, versions
from segwright.networks import NetworkSpec, build_network
from tests.conftest import TINY_BACKBONE, blocks
from tests.helpers.processes import Forked, run_python

CLASSES = tuple(
    ClassDescription(index=index, name=f"class {index}", colour=(40 * index, 200, 10)) for index in range(3)
)


def write_bundle(path: Path, seed: int = 0, bands: int = 3, inference_scale: float = 1.0) -> Path:
    """Write an untrained model, tuned so that each class wins somewhere in the picture below."""
    torch.manual_seed(seed)
    mean, std = (None, None) if bands == 3 else ((0.5,) * bands, (0.25,) * bands)
    spec = NetworkSpec("fcn", TINY_BACKBONE, num_classes=len(CLASSES), bands=bands, mean=mean, std=std)
    network = build_network(spec).eval()
    image = torch.from_numpy(banded(bands)).permute(2, 0, 1)[None]
    classifier = [module for module in network.head.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.inference_mode():
        classifier.weight.normal_()
        assert classifier.bias is not None
        classifier.bias -= network.coarse_logits(image).mean((0, 2, 3))
    description = Description(
        network=network.spec,
        classes=CLASSES,
        label_maps={"train": {"scale": 1}, "validation": {"scale": 1}},
        hyperparameters={},
        data={},
        metrics={},
        versions=versions(),
        inference_scale=inference_scale,
    )
    weights = host_copy(network)
    BundleWriter(path, overwrite=False).save(description, last=weights, best=weights, records=[])
    return path


def picture(kind: str = "PNG", height: int = 40, width: int = 57, seed: int = 1) -> bytes:
    """The bytes of one noisy picture."""
    stream = io.BytesIO()
    Image.fromarray(blocks(seed, height, width)[0]).save(stream, kind)
    return stream.getvalue()


def banded(bands: int = 5) -> NDArray[np.uint8]:
    """The pixels of the picture, over and over, as so many bands."""
    return blocks(1, 40, 57)[0][..., np.arange(bands) % 3]


def pixels(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a picture as Pillow reads them."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened)


@dataclass
class Server:
    """A running server: its process, where it listens, and what it has printed so far."""

    process: Forked
    address: str = ""
    messages: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.address, timeout=60, trust_env=False)

    def stop(self) -> int | None:
        """Ask it to end, and return its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=40)


@contextmanager
def server(
    *arguments: str | Path, environment: dict[str, str] | None = None, sign: str = r"on (http://[\d.]+:\d+)"
) -> Iterator[Server]:
    """Run Python with some arguments that start a server; it is there when it says where it serves, or another sign."""
    process = Forked(partial(run_python, list(map(str, arguments))), environment)
    running = Server(process)
    readers = [
        threading.Thread(target=lambda stream=stream, lines=lines: lines.extend(stream))
        for stream, lines in ((process.stdout, running.printed), (process.stderr, running.messages))
    ]
    for reader in readers:
        reader.start()
    try:
        running.address = _address(running, sign)
        yield running
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()


def _address(running: Server, sign: str) -> str:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and running.process.poll() is None:
        for line in [*running.messages, *running.printed]:
            if found := re.search(sign, line):
                return found[found.lastindex or 0]
        time.sleep(0.02)
    raise AssertionError("the server does not start: " + "".join(running.messages + running.printed))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread or another process does."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


@contextmanager
def connected(running: Server, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection to a server, without a client's comfort."""
    host, _, port = running.address.removeprefix("http://").partition(":")
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(60)
        connection.connect((host, int(port)))
        yield connection


def request(path: str, body: bytes, accept: str = "image/png") -> bytes:
    """The bytes of a request, ready to be cut."""
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", f"Accept: {accept}", f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


def received(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of all that comes until the server closes the connection."""
    head, _, body = b"".join(iter(lambda: connection.recv(1 << 20), b"")).partition(b"\r\n\r\n")
    return head, body
