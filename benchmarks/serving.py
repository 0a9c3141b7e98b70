"""The endpoint beside its peers: networks alone, whole requests, many sizes, many clients, start.

    python benchmarks/serving.py network BUNDLE IMAGE --mxnet VENV [--instructions AVX512_CORE]
    python benchmarks/serving.py server BUNDLE IMAGE [--instructions AVX2]
    python benchmarks/serving.py small BUNDLE IMAGE

BUNDLE of `network` and `server` is an FCN ResNet-50 at output stride 8, with an INT8 export in its folder; the one of
`small` is any fast network. IMAGE is a JPEG. VENV is made by benchmarks/gluoncv/environment.sh. Contestants take turns
on the same machine; nothing else may run. --instructions caps the processor's instruction set for all of them.
"""

import argparse
import io
import os
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent / "serving"
sys.path.insert(0, str(HERE))

from servers import Client, Server, running, together  # noqa: E402
from turns import measure  # noqa: E402

EDGE = 480
PORT, PEER_PORT = 18080, 18081
PRECISIONS = ("float32", "bfloat16", "int8", "auto")


def main() -> None:
    """Run a command."""
    arguments = _arguments()
    environment = dict(os.environ)
    if arguments.instructions:
        # oneDNN has had three names; PyTorch, OpenVINO and MXNet contain different versions of it.
        names = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKLDNN_MAX_CPU_ISA")
        environment |= dict.fromkeys(names, arguments.instructions)
    print(f"{_processor()}, {arguments.instructions or 'all instructions'}, {len(os.sched_getaffinity(0))} cores")
    arguments.measure(arguments, environment)


def network(arguments: argparse.Namespace, environment: dict[str, str]) -> None:
    """Networks alone, from pixels in memory to a mask."""
    image = arguments.work / "square.png"
    _square(arguments.image).save(image)
    python = sys.executable
    contestants = [
        (f"Segwright {name}", (python, str(HERE / "ours.py"), str(arguments.bundle), str(image), name), environment)
        for name in PRECISIONS
    ]
    if arguments.mxnet:
        peer = (str(arguments.mxnet / "bin" / "python"), str(HERE / "peer_mxnet.py"), str(image), "11")
        contestants += [(f"MXNet {name}", (*peer, name), environment) for name in ("float32", "int8")]
    print("\n| network | ms | times MXNet's float32 | times MXNet's INT8 |\n|---|---|---|---|")
    results = {one.name: one.median for one in measure(contestants, arguments.rounds)}
    for name, median in results.items():
        ratios = (results.get(f"MXNet {peer}") for peer in ("float32", "int8"))
        print(f"| {name} | {median:.0f} | {' | '.join(f'{peer / median:.2f}' if peer else '-' for peer in ratios)} |")


def server(arguments: argparse.Namespace, environment: dict[str, str]) -> None:
    """Whole requests: `segwright serve` at its defaults, and Flask around torchvision's network."""
    body = _jpeg(_square(arguments.image))
    peer = (sys.executable, str(HERE / "peer_flask.py"), str(PEER_PORT), "11")
    with running(_serve(arguments.bundle), PORT, environment) as ours, running(peer, PEER_PORT, environment) as flask:
        clients = {"segwright serve": ours.client(), "Flask and torchvision": flask.client()}
        times = _turns(clients, body, arguments.rounds)
    print("\n| server | ms a request | ratio |\n|---|---|---|")
    for name, values in times.items():
        ratio = statistics.median(peer / own for own, peer in zip(values, times["Flask and torchvision"], strict=True))
        print(f"| {name} | {statistics.median(values):.0f} | {ratio:.2f} |")


def small(arguments: argparse.Namespace, environment: dict[str, str]) -> None:
    """A fast network: what a request costs beyond the network, sizes, clients, memory, start."""
    picture = _square(arguments.image)
    body, command = _jpeg(picture), _serve(arguments.bundle)
    alone = arguments.work / "square.png"
    picture.save(alone)
    ours = (sys.executable, str(HERE / "ours.py"), str(arguments.bundle), str(alone), "auto")
    [bare] = measure([("network", ours, environment)], arguments.rounds)
    with running(command, PORT, environment) as one:
        start = one.start_seconds
        times = _turns({"request": one.client()}, body, arguments.rounds)["request"]
        beyond = statistics.median(times) - bare.median
        print(f"network {bare.median:.1f} ms, request {statistics.median(times):.1f}: {beyond:.1f} ms beyond")
        for clients in (1, 4, 16):
            seconds = together(one, [body] * max(4 * clients, arguments.rounds), clients)
            rate = max(4 * clients, arguments.rounds) / seconds
            print(f"{clients} clients: {rate:.1f} requests/s, the network alone {1000 / bare.median:.1f}")
        _sizes(one, picture, arguments)
    print(f"start: {start:.1f} s until /ping says 200")
    _png()


def _sizes(one: Server, picture: Image.Image, arguments: argparse.Namespace) -> None:
    """The same number of pixels as one size and as 100."""
    draw = random.Random(0)
    sizes = [(draw.randrange(300, 660), draw.randrange(300, 660)) for _ in range(100)]
    pixels = sum(width * height for width, height in sizes)
    edge = round((pixels / len(sizes)) ** 0.5)
    same = [_jpeg(picture.resize((edge, edge)))] * len(sizes)
    mixed = [_jpeg(picture.resize(size)) for size in sizes]
    client, rates = one.client(), {}
    for name, bodies in (("one size", same), ("100 sizes, new", mixed), ("one size again", same), ("again", mixed)):
        seconds = sum(client.send(body) for body in bodies) / 1000
        rates[name] = pixels / seconds / 1e6
        print(f"{name}: {rates[name]:.2f} megapixels/s, {one.memory:.0f} MiB")


def _png() -> None:
    from segwright.formats.images import encode_png

    labels = np.random.default_rng(0).integers(0, 11, (40, 40), dtype=np.uint8)
    mask = np.kron(labels, np.ones((100, 100), np.uint8))
    start = time.perf_counter()
    size = len(encode_png(mask))
    print(f"PNG of a mask of 16 megapixels: {1000 * (time.perf_counter() - start):.0f} ms, {size:,} bytes")


def _turns(clients: dict[str, Client], body: bytes, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in clients}
    for index in range(rounds + 3):
        for name, client in clients.items():
            milliseconds = client.send(body)
            if index >= 3:
                times[name].append(milliseconds)
    return times


def _serve(bundle: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "segwright", "serve", str(bundle), "--port", str(PORT), "--device", "cpu")


def _square(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGB")
    edge = min(image.size)
    return image.crop((0, 0, edge, edge)).resize((EDGE, EDGE))


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function in (network, server, small):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(measure=function)
        command.add_argument("bundle", type=Path)
        command.add_argument("image", type=Path)
        command.add_argument("--rounds", type=int, default=15)
        command.add_argument("--instructions", help="AVX2, AVX512_CORE, AVX512_CORE_VNNI, AVX512_CORE_BF16")
        command.add_argument("--work", type=Path, default=Path("/tmp"))
        if function is network:
            command.add_argument("--mxnet", type=Path, help="the environment of GluonCV")
    return parser.parse_args()


if __name__ == "__main__":
    main()
