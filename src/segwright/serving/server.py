"""The process that serves: its socket, its signals, and the order in which things begin and end.

Source: SageMaker's contract, section 6.2.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import uvicorn
from starlette.types import ASGIApp

from segwright.console import print_to_copy
from segwright.devices import choose_device, limit_threads
from segwright.errors import UserError
from segwright.inference import Model, load
from segwright.inference.runtimes import export_hint
from segwright.resources import bound_memory_of_sizes, raise_file_limit
from segwright.serving.accept import PNG
from segwright.serving.app import ModelHolder, multi_model_app, single_model_app
from segwright.serving.connections import Connection
from segwright.serving.inference_pool import InferencePool
from segwright.serving.middleware import allow_origins, refuse_other_hosts
from segwright.serving.multi_model import ModelStore
from segwright.serving.settings import ServingSettings
from segwright.standard_streams import MESSAGES, finish_streams
from segwright.stopping import release_termination
from segwright.wording import counted

logger = logging.getLogger(__name__)

_DRAINING: Final = 25  # seconds for requests in flight after SIGTERM; SageMaker sends SIGKILL after 30
_LAST_WORDS: Final = 2  # seconds for telling clients that they have waited in vain
_BACKLOG: Final = 128  # connections that the system accepts before the server sees them
_KEEP_ALIVE: Final = 75  # seconds; longer than proxies keep idle connections, so that they never send into a closed one


def serve(model: Path, settings: ServingSettings | None = None) -> None:
    """Serve one model until SIGTERM, which gives requests in flight 25 seconds; Ctrl-C does the same and raises
    KeyboardInterrupt, a second one ends the process. The socket opens at once; until the model is loaded, /ping answers
    503 and signals end it all.

    Raises UserError for a device, an address or an origin that cannot be used, and BundleError for a damaged model.
    """
    settings = settings or ServingSettings()
    holder, failures = ModelHolder(name=model.resolve().name), list[BaseException]()
    with _pool_and_socket(settings) as (pool, listener):
        server = _Server(single_model_app(holder, pool), pool)

        def load_model() -> None:
            try:
                holder.model = _load(model, settings)
                on_cpu = holder.model.runtime.device.type == "cpu"
                if settings.precision == "auto" and on_cpu and (hint := export_hint(model)):
                    logger.info(hint)
                address = _address(listener)
                if settings.log_metrics:  # an endpoint, whose address is known to the platform
                    logger.info(f"serving {model} on {address}")
                    return
                logger.info(f"serving {model} on {address}; Ctrl-C ends it. Try:")
                header = "" if settings.default_format.content_type == PNG else "-H 'Accept: image/png;palette=1' "
                print_to_copy(f"curl --data-binary @photo.jpg {header}{address}/invocations -o mask.png")
                if settings.page:
                    logger.info(f"or open {address} in a browser")
            except BaseException as error:
                failures.append(error)
                server.should_exit = True

        loading = threading.Thread(target=load_model, name="loading")
        try:
            _run(server, listener, loading.start)
        except KeyboardInterrupt:
            if loading.is_alive():
                _end_process(interrupted=True)
            raise
        if failures:
            raise failures[0]
        if loading.is_alive():
            _end_process(interrupted=False)


def serve_models(root: Path, locate: Callable[[str], Path] = Path, settings: ServingSettings | None = None) -> None:
    """Serve the models below `root` that POST /models names, as `serve`; `locate` maps a url to a folder."""
    settings = settings or ServingSettings()
    with _pool_and_socket(settings) as (pool, listener):
        logger.info(f"serving models from below {root} on {_address(listener)}")
        store = ModelStore(root, partial(_load, settings=settings), choose_device(settings.device), locate)
        _run(_Server(multi_model_app(store, pool), pool), listener)


def _load(model: Path, settings: ServingSettings) -> Model:
    return load(
        model,
        device=settings.device,
        precision=settings.precision,
        scale=settings.scale,
        tta=settings.tta,
        workers=settings.workers,
    )


@contextmanager
def _pool_and_socket(settings: ServingSettings) -> Iterator[tuple[InferencePool, socket.socket]]:
    raise_file_limit()
    bound_memory_of_sizes()
    choose_device(settings.device)
    with _listen(settings.host, settings.port) as listener, closing(InferencePool(settings)) as pool:
        limit_threads(settings.workers)
        yield pool, listener


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except UnicodeError as error:  # a part of a name that no host name can have
        raise UserError(f"host is {host[:100]}, which is no name or address of a machine") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} of {host} is in use: end what uses it, or choose another port") from error
        raise UserError(f"cannot listen at {host} port {port}: {error.strerror}; choose other ones") from error


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, which says what it waits for at its end."""

    def __init__(self, app: ASGIApp, pool: InferencePool) -> None:
        # h11 and asyncio, which come along: a model takes a thousand times as long as parsing its request's headers.
        config = uvicorn.Config(
            refuse_other_hosts(allow_origins(app, pool.settings.allow_origin), pool.settings.host),
            http=Connection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,  # asyncio tries as often in a row where no more files can be opened
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_DRAINING,
        )
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(_not_about_the_end)
        self._pool, self._interrupted = pool, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Let requests in flight finish; at Ctrl-C after another signal, end the process."""
        if sig == signal.SIGINT and self.should_exit:
            _end_process(interrupted=True)
        self._interrupted = sig == signal.SIGINT
        super().handle_exit(sig, frame)
        if requests := self._pool.in_flight:
            again = "; Ctrl-C again ends at once" if sig == signal.SIGINT else ""
            logger.info(f"waiting up to {_DRAINING:g} s for {counted(requests, 'request')} in flight{again}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain; what threads still compute then ends with the process."""
        await super().shutdown(sockets)
        if answering := self.server_state.tasks:  # cancelled by now, which they tell their clients
            await asyncio.wait(answering, timeout=_LAST_WORDS)
        if self._pool.busy_threads:
            _end_process(interrupted=self._interrupted)


def _not_about_the_end(record: logging.LogRecord) -> bool:
    """False for uvicorn's line about requests that it cancels: `respond_on_shutdown` has one for each."""
    return "timeout graceful shutdown" not in record.getMessage()


def _run(server: uvicorn.Server, listener: socket.socket, begin: Callable[[], None] = lambda: None) -> None:
    """Run until a signal; `begin` is called when signals are handled. uvicorn drains, then raises the signal again,
    which must not kill the process.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = signal.signal(signal.SIGTERM, end)  # also before uvicorn handles signals, a moment later
    release_termination()
    try:
        begin()
        server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_process(*, interrupted: bool) -> NoReturn:
    """End while threads load a model or compute. Python's own end would wait for them, or break off daemons within
    torch, which then aborts.
    """
    if interrupted:
        print("interrupted", file=MESSAGES)
    logging.shutdown()
    finish_streams()
    os._exit(128 + signal.SIGINT if interrupted else 0)
