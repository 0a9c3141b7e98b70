"""Streams and objects beside folders: pairs a second through a FIFO, and the client's CPU time for a pair from S3.

    python benchmarks/sources.py CAMVID [--workers 2]

CAMVID holds train and train_annotation. The FIFO is served by another process, as in Pipe mode, and read by the
loader that trainings use, beside the same loader on the folders, pass by pass in turns. The objects come from a small
static server on loopback, one connection at a time; only the processor time of the reading process counts, beside
reading the same files from folders.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from segwright.checks.channel import StreamCheck
from segwright.data.folders import find_pairs
from segwright.data.loader import TrainingLoader, stream_loader, training_loader
from segwright.data.pairs import Pair
from segwright.data.pipe_batches import StreamReader
from segwright.data.pipe_mode import FifoStream
from segwright.data.pipe_server import serve_pipes
from segwright.formats.pixels import RGB
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap
from segwright.storage import open_blob

ROUNDS = 5
BATCH = 8
REPEATED = 5  # so that a pass is longer than the shuffle buffer, which fills before the first batch


def compare_fifo(data: Path, workers: int, folder: Path) -> None:
    """Pairs a second of whole epochs, from folders and from FIFOs in turns."""
    pairs = find_pairs(data / "train", data / "train_annotation").pairs * REPEATED
    manifest = folder / "train.manifest"
    lines = [
        {"source-ref": str(Path(pair.image.name).resolve()), "l-ref": str(Path(pair.mask.name).resolve())}
        for pair in pairs
    ]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(manifest, folder), daemon=True)
    server.start()
    settings = Hyperparameters(mini_batch_size=BATCH, workers=workers)  # crops of 240 pixels at base_size 520
    loaders = {
        "folder": training_loader(pairs, LabelMap.identity(), settings),
        "FIFO": stream_loader(
            StreamReader(FifoStream(folder / "train"), BATCH),
            len(pairs),
            LabelMap.identity(),
            settings,
            StreamCheck("train", 11, RGB),
        ),
    }
    for loader in loaders.values():
        _epoch(loader, 0)  # starts the workers
    rates = {name: [] for name in loaders}  # type: dict[str, list[float]]
    for number in range(1, ROUNDS + 1):
        for name, loader in loaders.items():
            rates[name].append(len(pairs) / _epoch(loader, number))
    for name in rates:
        print(f"{name:8} {statistics.median(rates[name]):7.0f} pairs/s with {workers} workers")
    ratio = statistics.median(fifo / plain for fifo, plain in zip(rates["FIFO"], rates["folder"], strict=True))
    print(f"FIFO / folder {ratio:.2f}")
    server.terminate()


def _serve(manifest: Path, folder: Path) -> None:
    serve_pipes({"train": manifest}, folder)


def _epoch(loader: TrainingLoader, number: int) -> float:
    start = time.perf_counter()
    for _ in loader.epoch(number):
        pass
    return time.perf_counter() - start


def compare_s3(data: Path) -> None:
    """Processor time of the reading process for a pair, from a folder and from S3."""
    address = multiprocessing.get_context("spawn").SimpleQueue()  # type: multiprocessing.SimpleQueue[str]
    server = multiprocessing.get_context("spawn").Process(target=_serve_objects, args=(data, address), daemon=True)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": address.get(),
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    pairs = find_pairs(data / "train", data / "train_annotation").pairs
    keys = [[Path(blob.name).relative_to(data).as_posix() for blob in (pair.image, pair.mask)] for pair in pairs]

    def from_folder() -> None:
        for pair in pairs:
            pair.image.read(), pair.mask.read()

    def from_s3() -> None:
        for image, mask in keys:
            open_blob(f"s3://bucket/{image}").read(), open_blob(f"s3://bucket/{mask}").read()

    costs = _costs({"folder": from_folder, "S3": from_s3}, pairs)
    for name, values in costs.items():
        print(f"{name:8} {1e3 * statistics.median(values):6.2f} ms of processor time for a pair")
    difference = statistics.median(s3 - plain for s3, plain in zip(costs["S3"], costs["folder"], strict=True))
    print(f"S3 costs {1e3 * difference:.2f} ms more a pair")
    server.terminate()


def _costs(readers: dict[str, Callable[[], None]], pairs: Sequence[Pair]) -> dict[str, list[float]]:
    costs: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(ROUNDS + 1):
        for name, read in readers.items():
            start = time.process_time()
            read()
            if number:  # the first round opens the connection
                costs[name].append((time.process_time() - start) / len(pairs))
    return costs


def _serve_objects(root: Path, address: "multiprocessing.SimpleQueue[str]") -> None:
    class Objects(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = (root / unquote(self.path).split("?")[0].removeprefix("/bucket/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"0"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Objects)
    address.put(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare_fifo(arguments.camvid, arguments.workers, Path(folder))
    compare_s3(arguments.camvid)


if __name__ == "__main__":
    main()
