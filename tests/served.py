"""A model small enough to be served in tests, pictures to send, and the server as a process of its own."""

import io
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segwright.bundle import BundleWriter, ClassDescription, Description, host_copy, versions
from segwright.networks import NetworkSpec, build_network
from tests.conftest import TINY_BACKBONE, blocks

CLASSES = tuple(
    ClassDescription(index=index, name=f"class {index}", colour=(40 * index, 200, 10)) for index in range(3)
)


def write_bundle(path: Path, seed: int = 0, classes: Sequence[ClassDescription] = CLASSES) -> Path:
    """Write an untrained model, tuned so that each class wins somewhere in the picture below."""
    torch.manual_seed(seed)
    network = build_network(NetworkSpec(algorithm="fcn", backbone=TINY_BACKBONE, num_classes=len(classes))).eval()
    image = torch.from_numpy(pixels(picture()).copy()).permute(2, 0, 1)[None]
    classifier = [module for module in network.head.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.inference_mode():
        classifier.weight.normal_()
        assert classifier.bias is not None
        classifier.bias -= network.coarse_logits(image).mean((0, 2, 3))
    description = Description(
        network=network.spec,
        classes=tuple(classes),
        label_maps={"train": {"scale": 1}, "validation": {"scale": 1}},
        hyperparameters={},
        data={},
        metrics={},
        versions=versions(),
    )
    weights = host_copy(network)
    BundleWriter(path, overwrite=False).save(description, last=weights, best=weights, records=[])
    return path


def picture(kind: str = "PNG", height: int = 40, width: int = 57, seed: int = 1) -> bytes:
    """The bytes of one noisy picture."""
    stream = io.BytesIO()
    Image.fromarray(blocks(seed, height, width)[0]).save(stream, kind)
    return stream.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a picture as Pillow reads them."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened)


@dataclass
class Server:
    """A running server: its process, where it listens, and what it has printed so far."""

    process: subprocess.Popen[str]
    address: str = ""
    messages: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.address, timeout=60, trust_env=False)

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@contextmanager
def server(*arguments: str | Path, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """Run Python with some arguments that start a server, until it says where it serves."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    running = Server(process)
    assert process.stdout and process.stderr
    readers = [
        threading.Thread(target=lambda stream=stream, lines=lines: lines.extend(stream))
        for stream, lines in ((process.stdout, running.printed), (process.stderr, running.messages))
    ]
    for reader in readers:
        reader.start()
    try:
        running.address = _address(running)
        yield running
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()


def _address(running: Server) -> str:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and running.process.poll() is None:
        for line in [*running.messages, *running.printed]:
            if found := re.search(r"on (http://[\d.]+:\d+)", line):
                return found[1]
        time.sleep(0.05)
    raise AssertionError("the server does not start: " + "".join(running.messages + running.printed))
