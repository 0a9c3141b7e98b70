"""Several models in memory, which come and go by name while the server runs.

Knows which models are there, who uses them, where they may come from, and whether memory suffices for one more. Refuses
to know images.

Source: SageMaker's contract, section 6.4; SageMaker Developer Guide, "Custom Containers Contract for Multi-Model
Endpoints".
"""

import asyncio
import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from starlette.exceptions import HTTPException

from segwright.errors import UserError
from segwright.inference import Model
from segwright.mxnet import is_mxnet_model, model_in, size_in_memory
from segwright.serving.inference_pool import is_out_of_memory
from segwright.serving.resources import available_memory, return_freed_memory
from segwright.storage import leads_below

PAGE: Final = 100
"""Models in one answer of the list."""

_COPIES: Final = 2  # while a model is loaded, its file and its network are in memory
_FOR_COMPUTING: Final = 512 << 20  # bytes kept free for images

Load = Callable[[Path], Model]


@dataclass
class _Entry:
    """A model, and how many requests use it."""

    url: str
    model: Model
    users: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class ModelStore:
    """The models of a multi-model endpoint. Lives on the event loop's thread; raises HTTPException."""

    def __init__(self, root: Path, load: Load, device: torch.device, locate: Callable[[str], Path] = Path) -> None:
        """Take models from below `root` only; `locate` says which directory a url means."""
        self._root, self._load, self._device, self._locate = root, load, device, locate
        self._entries: dict[str, _Entry] = {}
        self._one_at_a_time = asyncio.Lock()

    async def load(self, name: str, url: str) -> None:
        """Load the model in the directory `url` under a name.

        Raises 400 for a name or a directory that cannot be used, 404 for one that is not there, 409 for a name that is
        taken, and 507 where memory does not suffice, upon which SageMaker unloads another model.
        """
        if not name or "/" in name:
            raise HTTPException(400, f"model_name is {name!r}; it takes any text without a slash.")
        directory = self._directory(url)
        async with self._one_at_a_time:
            if name in self._entries:
                raise HTTPException(409, f"The model {name} is loaded already: invoke it, or unload it first.")
            self._entries[name] = _Entry(url, await asyncio.to_thread(self._loaded, directory))

    async def unload(self, name: str) -> None:
        """Take no more requests for a model, let those that run finish, and free its memory; 404 without it."""
        entry = self._entry(name)
        del self._entries[name]
        if entry.users:
            await entry.idle.wait()
        del entry
        await asyncio.to_thread(return_freed_memory, self._device)

    @contextmanager
    def lend(self, name: str) -> Iterator[Model]:
        """A model, which stays until it is given back; 404 without it."""
        entry = self._entry(name)
        entry.users += 1
        entry.idle.clear()
        try:
            yield entry.model
        finally:
            entry.users -= 1
            if not entry.users:
                entry.idle.set()

    def describe(self, name: str) -> dict[str, str]:
        """Name and directory of a model; 404 without it."""
        return {"modelName": name, "modelUrl": self._entry(name).url}

    def page(self, token: str) -> dict[str, Any]:
        """Some of the models in the order of their names: those after `token`, the last name of the page before."""
        names = sorted(self._entries)
        first = bisect.bisect_right(names, token)
        shown = names[first : first + PAGE]
        page: dict[str, Any] = {"models": [self.describe(name) for name in shown]}
        if len(names) > first + PAGE:
            page["nextPageToken"] = shown[-1]
        return page

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise HTTPException(404, f"The model {name[:200]} is not loaded: load it with POST /models first.")
        return self._entries[name]

    def _directory(self, url: str) -> Path:
        try:
            directory = self._locate(url).resolve()
            there = directory.is_dir()
            below = leads_below(directory, self._root)
            allowed = below and all(leads_below(file, self._root) for file in directory.rglob("*"))
        except (OSError, ValueError, RuntimeError):  # too long, with a null character, or links that lead in a circle
            raise HTTPException(400, "url cannot be a path: it takes the directory of a model.") from None
        if not allowed:
            raise HTTPException(400, f"url is {url}, but models lie, with all their files, below {self._root}.")
        if not there:
            raise HTTPException(404, f"url is {url}, but there is no such directory.")
        return directory

    def _loaded(self, directory: Path) -> Model:
        try:
            self._check_memory(directory)
            return self._load(directory)
        except UserError as error:
            raise HTTPException(400, str(error)) from error
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise _no_memory("the attempt failed") from error
            raise

    def _check_memory(self, directory: Path) -> None:
        """Raise 507 where a model would not fit beside those that are there; the first one may always try. A model for
        a GPU passes through the memory of its machine.
        """
        return_freed_memory(self._device)
        known = [available_memory(place) for place in {self._device, torch.device("cpu")}]
        available = min((amount for amount in known if amount is not None), default=None)
        if not self._entries or available is None:
            return
        needed = _COPIES * _weights(directory) + _FOR_COMPUTING
        if needed > available:
            raise _no_memory(f"about {needed >> 20:,} MiB are needed and {available >> 20:,} MiB are left")


def _weights(directory: Path) -> int:
    """Bytes of the weights of a model in memory."""
    directory = model_in(directory) or directory
    if is_mxnet_model(directory):
        return size_in_memory(directory)  # in which float16 takes half of it
    return max((file.stat().st_size for file in directory.rglob("*") if file.is_file()), default=0)


def _no_memory(why: str) -> HTTPException:
    return HTTPException(507, f"Memory does not suffice for one more model: {why}; unload another model first.")
