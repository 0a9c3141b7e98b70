"""Several models in memory, loaded and unloaded by name while the server runs.

Source: SageMaker's contract, section 6.4; SageMaker Developer Guide, "Custom Containers Contract for Multi-Model
Endpoints".
"""

import asyncio
import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

import torch
from starlette.exceptions import HTTPException

from segwright.errors import UserError
from segwright.inference import Model
from segwright.mxnet import is_mxnet_model, model_in, size_in_memory
from segwright.resources import available_memory, return_freed_memory
from segwright.serving.inference_pool import is_out_of_memory
from segwright.storage import leads_below

PAGE: Final = 100  # models in one page of the list
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
        """Load models from below `root` only; `locate` maps a url to a folder."""
        self._root, self._load, self._device, self._locate = root, load, device, locate
        self._entries: dict[str, _Entry] = {}
        self._one_at_a_time = asyncio.Lock()

    async def load(self, name: str, url: str) -> None:
        """Load the model in the folder `url`. Raises 400 for a name or a folder that cannot be used, 404 for a missing
        one, 409 for a name that is taken, and 507 where memory is short, upon which SageMaker unloads another model.
        """
        if not name or "/" in name:
            raise HTTPException(400, f"model_name is {name!r}; it takes any text without a slash.")
        folder = self._folder(url)
        async with self._one_at_a_time:
            if name in self._entries:
                raise HTTPException(409, f"The model {name} is loaded already: invoke it, or unload it first.")
            self._entries[name] = _Entry(url, await asyncio.to_thread(self._load_from, folder))

    async def unload(self, name: str) -> None:
        """Accept no more requests for a model, let those in flight finish, and free its memory."""
        entry = self._entry(name)
        del self._entries[name]
        if entry.users:
            await entry.idle.wait()
        del entry
        await asyncio.to_thread(_free_memory, self._device)

    @contextmanager
    def borrow(self, name: str) -> Iterator[Model]:
        """A model, which stays in memory until the block ends."""
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
        """Name and folder of a model; 404 for an unknown name, as in all methods."""
        return {"modelName": name, "modelUrl": self._entry(name).url}

    def models(self) -> dict[str, Model]:
        """The models by name."""
        return {name: entry.model for name, entry in self._entries.items()}

    def page(self, token: str) -> dict[str, Any]:
        """Models in the order of their names: those after `token`, the last name of the page before."""
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

    def _folder(self, url: str) -> Path:
        try:
            folder = self._locate(url).resolve()
            exists = folder.is_dir()
            allowed = all(leads_below(path, self._root) for path in chain([folder], folder.rglob("*")))
        except (OSError, ValueError, RuntimeError):  # too long, a null character, or circular links
            raise HTTPException(400, "url cannot be a path: it takes the directory of a model.") from None
        if not allowed:
            raise HTTPException(400, f"url is {url}, but models lie, with all their files, below {self._root}.")
        if not exists:
            raise HTTPException(404, f"url is {url}, but there is no such directory.")
        return folder

    def _load_from(self, folder: Path) -> Model:
        """Load a model, if it fits beside the others; the first one may always try."""
        _free_memory(self._device)
        available, why = available_memory(), "the attempt failed"
        if self._device.type == "cuda":  # models pass through the host's memory
            free = torch.cuda.mem_get_info(self._device)[0]
            available = free if available is None else min(available, free)
        try:
            needed = _COPIES * _weights_size(folder) + _FOR_COMPUTING
            if self._entries and available is not None and needed > available:
                why = f"about {needed >> 20:,} MiB are needed and {available >> 20:,} MiB are left"
                raise MemoryError
            return self._load(folder)
        except UserError as error:
            raise HTTPException(400, str(error)) from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            sentence = f"Memory does not suffice for one more model: {why}; unload another model first."
            raise HTTPException(507, sentence) from error


def _weights_size(folder: Path) -> int:
    folder = model_in(folder) or folder
    if is_mxnet_model(folder):
        return size_in_memory(folder)  # in which float16 takes half of it
    return max((file.stat().st_size for file in folder.rglob("*") if file.is_file()), default=0)


def _free_memory(device: torch.device) -> None:
    return_freed_memory()
    if device.type == "cuda":
        torch.cuda.empty_cache()
