"""Memory of `segwright serve` over many requests of many sizes: after the first 50, and at the end.

python benchmarks/serving_memory.py [--requests 300] [--largest 400] [--backbone resnet18] [--algorithm fcn]
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
import torch

from segwright.bundle import BundleWriter, ClassDescription, Description, host_copy, versions
from segwright.formats.images import encode_png
from segwright.networks import NetworkSpec, build_network

CLASSES = 12
WARM = 50  # requests


def write_bundle(path: Path, algorithm: str, backbone: str) -> None:
    """Write an untrained model."""
    torch.manual_seed(0)
    network = build_network(NetworkSpec(algorithm, backbone, num_classes=CLASSES, output_stride=16))
    weights = host_copy(network)
    described = Description(
        network=network.spec,
        classes=tuple(ClassDescription(index=i, name=str(i), colour=(i, i, i)) for i in range(CLASSES)),
        label_maps={"train": {"scale": 1}, "validation": {"scale": 1}},
        hyperparameters={},
        data={},
        metrics={},
        versions=versions(),
    )
    BundleWriter(path, overwrite=False).save(described, last=weights, best=weights, records=[])


def resident(process: int) -> int:
    """Resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) >> 10


def main() -> None:
    """Serve, send, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--largest", type=int, default=400)
    parser.add_argument("--algorithm", default="fcn")
    parser.add_argument("--backbone", default="resnet18")
    options = parser.parse_args()
    draw = random.Random(0)
    noise = np.random.default_rng(0).integers(0, 256, (options.largest, options.largest, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "model", options.algorithm, options.backbone)
        command = [
            sys.executable,
            "-m",
            "segwright",
            "serve",
            f"{folder}/model",
            "--port",
            "0",
            "--access-log",
            "errors",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
            assert server.stderr is not None
            try:
                address = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.]+:\d+", line)))
                warm = 0
                for number in range(1, options.requests + 1):
                    height, width = (draw.randint(32, options.largest) for _ in range(2))
                    body = encode_png(noise[:height, :width])
                    url, accept = f"{address}/invocations", {"Accept": "image/png"}
                    with urllib.request.urlopen(urllib.request.Request(url, body, accept)) as answer:
                        answer.read()
                    if number == WARM:
                        warm = resident(server.pid)
                    if number % 50 == 0:
                        print(f"{number} requests: {resident(server.pid)} MiB", flush=True)
                print(f"{resident(server.pid) / warm:.2f} times the memory after {WARM} requests")
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
