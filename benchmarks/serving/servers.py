"""Servers as processes of their own, and clients that send them images."""

import http.client
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PNG = {"Accept": "image/png", "Content-Type": "image/jpeg"}


class Server:
    """A server's process and port."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, seconds: float) -> None:
        self.process, self.port = process, port
        self.start_seconds = seconds
        """From the command to the first /ping that says 200."""

    def client(self) -> "Client":
        """A connection that is kept."""
        return Client(self.port)

    @property
    def memory(self) -> float:
        """Its resident memory, in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


class Client:
    """A connection to a server."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def send(self, image: bytes, headers: Mapping[str, str] = PNG) -> float:
        """Send an image, and wait for the mask; the milliseconds. Raises RuntimeError for any other answer."""
        start = time.perf_counter()
        self._connection.request("POST", "/invocations", image, dict(headers))
        response = self._connection.getresponse()
        body = response.read()
        milliseconds = 1000 * (time.perf_counter() - start)
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {body[:300].decode(errors='replace')}")
        return milliseconds


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str], limit: float = 180) -> Iterator[Server]:
    """Start a server, wait until /ping says 200, and end it at last. Raises RuntimeError where it does not come."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        while not _answers(port):
            if process.poll() is not None or time.perf_counter() - start > limit:
                raise RuntimeError(f"no server: {' '.join(command)}")
            time.sleep(0.02)
        yield Server(process, port, time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def together(server: Server, images: Sequence[bytes], clients: int) -> float:
    """Send all images by so many clients at once; the seconds that it takes."""
    waiting, lock = list(images), threading.Lock()

    def work() -> None:
        client = server.client()
        while True:
            with lock:
                if not waiting:
                    return
                image = waiting.pop()
            client.send(image)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start
