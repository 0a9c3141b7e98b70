"""Faults that clients send to a server, while others send good pictures and ask how it is.

`scripts/serving_faults.py` sends many, `tests/test_serving_server_faults.py` a few.
"""

import gzip
import json
import random
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np

from segwright.inference import Model, load
from segwright.serving.inference_pool import MAX_WAITING
from tests.helpers.served import Server, connected, picture, pixels, received, request

SLOTS = MAX_WAITING + 2  # of one worker
NOTHING = ""  # the status where the server just hangs up, which is right for clients that do so themselves
Fault = Callable[[random.Random], tuple[bytes, set[str]]]
"""Draws the bytes of a request, after which the client sends no more, and the statuses that are right for it."""


@dataclass
class Report:
    """What happened."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)  # by fault
    wrong: list[str] = field(default_factory=list)
    good: int = 0
    retried: int = 0
    slowest_ping: float = 0.0  # seconds
    mebibytes: list[int] = field(default_factory=list)  # of the process, before and after

    def lines(self) -> Iterator[str]:
        for fault, counts in sorted(self.statuses.items()):
            listed = ", ".join(f"{number} {status or 'hung up'}" for status, number in sorted(counts.items()))
            yield f"{fault}: {listed}"
        yield f"{self.good} good pictures were answered right, {self.retried} of them after a 503"
        yield f"slowest /ping: {1000 * self.slowest_ping:.0f} ms; memory {' -> '.join(map(str, self.mebibytes))} MiB"
        yield from (f"WRONG: {each}" for each in self.wrong)


def truncated(draw: random.Random) -> tuple[bytes, set[str]]:
    body = picture(draw.choice(["PNG", "JPEG", "BMP", "TIFF"]))
    return request("/invocations", body[: draw.randrange(len(body) // 2)]), {"400"}


def cut_short(draw: random.Random) -> tuple[bytes, set[str]]:
    whole = request("/invocations", picture())
    return whole[: draw.randrange(1, len(whole) - 1)], {NOTHING, "400"}


def flipped(draw: random.Random) -> tuple[bytes, set[str]]:
    body = bytearray(picture(draw.choice(["PNG", "JPEG", "BMP", "TIFF"])))
    for _ in range(draw.randrange(1, 20)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return request("/invocations", bytes(body)), {"200", "400", "413"}  # some hit nothing but a colour


def noise(draw: random.Random) -> tuple[bytes, set[str]]:
    return request("/invocations", draw.randbytes(draw.randrange(5000))), {"400"}


def bomb_of_pixels(draw: random.Random) -> tuple[bytes, set[str]]:
    """A PNG of a few hundred bytes that claims a gigapixel and more."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", draw.randrange(30_000, 2**31), draw.randrange(30_000, 2**31), 8, 2, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 16)))
    return request("/invocations", body + chunk(b"IEND", b"")), {"400", "413"}


def bomb_of_gzip(draw: random.Random) -> tuple[bytes, set[str]]:
    body = gzip.compress(bytes(draw.randrange(21, 30) << 20), 1)
    return with_header(request("/invocations", body), "Content-Encoding: gzip"), {"413"}


def wrong_type(draw: random.Random) -> tuple[bytes, set[str]]:
    kind = draw.choice(["application/json", "text/html", "multipart/form-data; boundary=x", "video/mp4", "a" * 500])
    body = draw.choice([json.dumps({"image": "x" * 1000}).encode(), b"<html></html>", picture()])
    return with_header(request("/invocations", body), f"Content-Type: {kind}"), {"415"}


def wrong_coding(draw: random.Random) -> tuple[bytes, set[str]]:
    coding = draw.choice(["gzip", "deflate", "br", "gzip, gzip, gzip", "x" * 300])
    return with_header(request("/invocations", picture()), f"Content-Encoding: {coding}"), {"400", "415"}


def lying_length(draw: random.Random) -> tuple[bytes, set[str]]:
    """A length that is larger or smaller than what comes, or none."""
    body = picture()
    length = draw.choice(
        ["99999999999999", "-1", "1e3", "0x10", "", "12, 13", str(len(body) + 10), str(len(body) // 2)]
    )
    head, _, _ = request("/invocations", b"").partition(b"Content-Length")
    return head + f"Content-Length: {length}\r\n\r\n".encode() + body, {NOTHING, "400", "413"}


def wrong_chunks(draw: random.Random) -> tuple[bytes, set[str]]:
    head, _, _ = request("/invocations", b"").partition(b"Content-Length")
    sizes = draw.choice([b"zz\r\n", b"ffffffffffffffff\r\n", b"-5\r\n", b"10\r\n" + bytes(3), b"\r\n\r\n"])
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + sizes, {NOTHING, "400", "413"}


def no_http(draw: random.Random) -> tuple[bytes, set[str]]:
    sent = draw.choice(
        [
            draw.randbytes(500) + b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00" + draw.randbytes(500),  # TLS
            b"GET /nowhere HTTP/9.9\r\n\r\n",
            b"POST /invocations HTTP/1.1\r\n\r\n",  # without a host
            b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            request("/invocations", b"")[:-2] + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        ]
    )
    return sent, {NOTHING, "400", "404", "431"}


def wrong_place(draw: random.Random) -> tuple[bytes, set[str]]:
    path = draw.choice(
        ["/../../etc/passwd", "/%2e%2e/%00", "/models/..%2f..%2f/invoke", "/invocations/..", "//", "/%ff"]
    )
    return request(path, picture()), {"404", "405"}


def wrong_accept(draw: random.Random) -> tuple[bytes, set[str]]:
    accept = draw.choice(["text/html", "image/png;palette=9", "a" * 2000, "application/x-npy;dtype=object"])
    return request("/invocations", picture(), accept), {"406"}


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        *(truncated, cut_short, flipped, noise, bomb_of_pixels, bomb_of_gzip, wrong_type, wrong_coding),
        *(lying_length, wrong_chunks, no_http, wrong_place, wrong_accept),
    )
}


def closing(sent: bytes) -> bytes:
    return with_header(sent, "Connection: close")


def with_header(sent: bytes, header: str) -> bytes:
    return sent.replace(b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode(), 1)


def torment(running: Server, bundle: Path, faults: int, seed: int = 0) -> Report:
    """Fill a server's queue, then send so many faults, while good pictures and pings go on. It has to run on this
    machine's CPU with one worker and 20 MiB a request.
    """
    report, draw = Report(), random.Random(seed)
    report.mebibytes.append(resident(running))
    with pinging(running, report), sending_good(running, load(bundle, "cpu"), report):
        fill_queue(running, report)
        for number in range(faults):
            name, fault = list(FAULTS.items())[number % len(FAULTS)]
            sent, right = fault(draw)
            status = status_of(running, sent, hang_up=NOTHING in right)
            report.statuses.setdefault(name, Counter())[status] += 1
            if status not in right:
                report.wrong.append(f"{name} got {status or 'no answer'} for {sent[:150]!r}")
    report.mebibytes.append(resident(running))
    return report


def status_of(running: Server, sent: bytes, hang_up: bool) -> str:
    """The status of the answer to a client that sends some bytes, and hangs up or waits."""
    with connected(running) as connection:
        try:
            connection.sendall(closing(sent))
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            head, _ = received(connection)
        except ConnectionError:
            return NOTHING
    return head[9:12].decode() if head.startswith(b"HTTP/1.1 ") else NOTHING


def fill_queue(running: Server, report: Report) -> None:
    """Take all slots with uploads that stand still; one more is asked to come back, and the uploads are answered."""
    whole = closing(request("/invocations", picture()))
    with ExitStack() as open_ones:
        uploads = [open_ones.enter_context(connected(running)) for _ in range(SLOTS)]
        for upload in uploads:
            upload.sendall(whole[:-100])
        deadline = time.monotonic() + 20
        head = b""
        while not head.startswith(b"HTTP/1.1 503 ") and time.monotonic() < deadline:
            with connected(running) as connection:
                connection.sendall(whole)
                head, _ = received(connection)
        if not head.startswith(b"HTTP/1.1 503 ") or b"retry-after:" not in head.lower():
            report.wrong.append(f"a full queue answered {head[:200]!r}")
        for upload in uploads:
            upload.sendall(whole[-100:])
        statuses = Counter(received(upload)[0][9:12].decode() for upload in uploads)
    if set(statuses) - {"200", "503"} or statuses["503"] > 5:  # those that good pictures were before
        report.wrong.append(f"the queue was answered {dict(statuses)}")
    report.statuses["uploads_that_paused"] = statuses


@contextmanager
def sending_good(running: Server, model: Model, report: Report) -> Iterator[None]:
    """Send good pictures of several sizes in a thread, and compare the answers."""
    sent = [picture("PNG", height, width, seed=height) for height, width in ((40, 57), (64, 64), (33, 120))]
    masks = [model.mask(pixels(each)) for each in sent]

    def send(stopped: threading.Event) -> None:
        number = 0
        with running.client() as client:
            while not stopped.is_set():
                answer = client.post("/invocations", content=sent[number % 3], headers={"Accept": "image/png"})
                if answer.status_code == 503 and "retry-after" in answer.headers:
                    report.retried += 1
                    stopped.wait(0.2)
                    continue
                if answer.status_code != 200 or not np.array_equal(pixels(answer.content), masks[number % 3]):
                    report.wrong.append(f"a good picture got {answer.status_code}: {answer.text[:200]}")
                report.good += 1
                number += 1

    with in_thread(send, report):
        yield


@contextmanager
def pinging(running: Server, report: Report) -> Iterator[None]:
    def ping(stopped: threading.Event) -> None:
        with running.client() as client:
            while not stopped.wait(0.05):
                start = time.monotonic()
                status = client.get("/ping").status_code
                report.slowest_ping = max(report.slowest_ping, time.monotonic() - start)
                if status != 200:
                    report.wrong.append(f"/ping answered {status}")

    with in_thread(ping, report):
        yield


@contextmanager
def in_thread(work: Callable[[threading.Event], None], report: Report) -> Iterator[None]:
    stopped = threading.Event()

    def run() -> None:
        try:
            work(stopped)
        except httpx2.HTTPError as error:
            report.wrong.append(f"a good client was let down: {error!r}")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def resident(running: Server) -> int:
    """Resident memory of a server in MiB; 0 where that is unknown."""
    try:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmRSS:"))
