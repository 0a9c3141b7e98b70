"""The process that serves: its socket, its signals, and in which order things begin and end.

Knows uvicorn. Refuses to know what is answered.

Source: SageMaker's contract, section 6.2.
"""

import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from segwright.devices import choose_device, limit_threads
from segwright.errors import UserError
from segwright.inference import Model, load
from segwright.serving.app import ModelHolder, multi_model_app, single_model_app
from segwright.serving.cross_origin import allow_origins, parse_origin
from segwright.serving.inference_pool import InferencePool
from segwright.serving.invocations import Invocations
from segwright.serving.multi_model import ModelStore
from segwright.serving.resources import allow_many_files
from segwright.serving.settings import ServingSettings
from segwright.standard_streams import finish_streams
from segwright.stopping import release_termination

logger = logging.getLogger(__name__)

_DRAINING: Final = 25  # seconds for running requests after SIGTERM; SageMaker sends SIGKILL after 30
_BACKLOG: Final = 128  # connections that the system accepts before the server sees them
_KEPT_ALIVE: Final = 75  # seconds; longer than proxies keep idle connections, so that they never send into a closed one


def serve(
    model: Path | None,
    *,
    models_root: Path | None = None,
    locate_model: Callable[[str], Path] = Path,
    host: str = "127.0.0.1",
    port: int = 8080,
    settings: ServingSettings | None = None,
    device: str | None = None,
    precision_dtype: str = "float32",
    origins: Sequence[str] = (),
) -> None:
    """Serve one model, or, where `model` is None, those that POST /models names below `models_root`, until SIGTERM.
    `locate_model` says which directory a name there means. Pages of `origins`, such as `https://app.example`, may ask
    from browsers; `*` means all.

    The socket opens at once, port 0 on any free port; until the one model is loaded, /ping answers 503. SIGTERM ends
    the server in order: no new connections, and running requests have 25 seconds. Then it returns; Ctrl-C does the same
    and raises KeyboardInterrupt. While the model is still being loaded, either ends the process at once.

    Raises UserError when the device is not there, the address cannot be listened at, or an origin is none, and
    BundleError when the model is damaged.
    """
    settings = settings or ServingSettings()
    origins = [parse_origin(origin) for origin in origins]
    allow_many_files()
    place = choose_device(device)
    load_here = partial(load, device=device, precision_dtype=precision_dtype)
    with _listen(host, port) as listener, closing(InferencePool(settings.workers)) as scorer:
        limit_threads(settings.workers)
        invocations = Invocations(scorer, settings)
        if model is not None:
            slot = ModelHolder()
            server = _server(allow_origins(single_model_app(slot, scorer, invocations), origins))
            _fill_and_run(slot, partial(load_here, model), _greeting(model, listener), server, listener)
        elif models_root is not None:
            logger.info(f"serving models from below {models_root} on {_address(listener)}")
            shelf = ModelStore(models_root, load_here, place, locate_model)
            _run(_server(allow_origins(multi_model_app(shelf, scorer, invocations), origins)), listener)
        else:
            raise ValueError("serve takes a model or a root of models")


def _fill_and_run(
    slot: ModelHolder, load_model: Callable[[], Model], greeting: str, server: uvicorn.Server, listener: socket.socket
) -> None:
    """Run the server and load its model meanwhile; one that cannot be loaded ends the server."""
    failures: list[BaseException] = []

    def fill() -> None:
        try:
            slot.model = load_model()
            for line in greeting.splitlines():
                logger.info(line)
        except BaseException as error:
            failures.append(error)
            server.should_exit = True

    loading = threading.Thread(target=fill, name="loading")
    loading.start()
    try:
        _run(server, listener)
    except KeyboardInterrupt:
        _leave_behind(loading, 128 + signal.SIGINT)
        raise
    if failures:
        raise failures[0]
    _leave_behind(loading, 0)


def _leave_behind(loading: threading.Thread, status: int) -> None:
    """End the process where a model is still being loaded. Python's own end would wait for the thread, and were it a
    daemon, break it off inside of torch, which then aborts.
    """
    if loading.is_alive():
        logging.shutdown()
        finish_streams()
        os._exit(status)


def _server(app: ASGIApp) -> uvicorn.Server:
    # h11 and asyncio, which come along: a model takes a thousand times as long as parsing its request's headers.
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,  # asyncio tries as often in a row where no more files can be opened
            timeout_keep_alive=_KEPT_ALIVE,
            timeout_graceful_shutdown=_DRAINING,
        )
    )


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run until a signal. uvicorn drains, then raises the signal once more: SIGTERM shall not kill us then."""

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = signal.signal(signal.SIGTERM, end)  # also before uvicorn listens to signals, a moment later
    release_termination()
    try:
        server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections. Raises UserError where the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except UnicodeError as error:  # a part of a name that no name of a host can have
        raise UserError(f"--host is {host[:100]}, which is no name or address of a machine") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} of {host} is in use: end what uses it, or choose another --port") from error
        raise UserError(f"cannot listen at {host} port {port}: {error.strerror}; choose other ones") from error


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _greeting(name: Path, listener: socket.socket) -> str:
    address = _address(listener)
    return (
        f"serving {name} on {address}; Ctrl-C ends it. Try:\n"
        f"curl --data-binary @photo.jpg -H 'Accept: image/png;palette=1' {address}/invocations -o mask.png"
    )
