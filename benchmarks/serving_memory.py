"""Memory of `segwright serve` over many requests of many sizes: after the first 50, and at the end.

python benchmarks/serving_memory.py BUNDLE [--requests 300] [--largest 400]
"""

import argparse
import random
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np

from segwright.formats.images import encode_png

FIRST = 50  # requests


def resident(process: int) -> int:
    """Resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) >> 10


def main() -> None:
    """Serve, send noise of random sizes, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--largest", type=int, default=400, help="pixels of a side; the smallest has 32")
    options = parser.parse_args()
    draw, first = random.Random(0), 0
    noise = np.random.default_rng(0).integers(0, 256, (options.largest, options.largest, 3), np.uint8)
    serve = [sys.executable, "-m", "segwright", "serve", options.bundle, "--port", "0", "--access-log", "errors"]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.]+:\d+", line)))
            for number in range(1, options.requests + 1):
                height, width = (draw.randint(32, options.largest) for _ in range(2))
                body = encode_png(noise[:height, :width])
                with urllib.request.urlopen(f"{address}/invocations", body) as answer:
                    answer.read()
                if number % FIRST == 0:
                    first = first or resident(server.pid)
                    print(f"{number} requests: {resident(server.pid)} MiB", flush=True)
            print(f"{resident(server.pid) / first:.2f} times the memory after {FIRST} requests")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
