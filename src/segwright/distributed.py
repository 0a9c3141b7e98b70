"""One training in several processes, one a GPU, as `torchrun` starts them; alone, everything is a no-op."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segwright.console import PACKAGE_LOGGER
from segwright.errors import UserError
from segwright.stopping import StopRequested

T = TypeVar("T")

# Keeps the process group until the process ends: were it freed with the last DistributedDataParallel, its thread and
# Python's would wait for each other for ever.
_groups: list[object] = []


@dataclass(frozen=True)
class Distributed:
    """Which process this is, and of how many."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1  # on this machine

    @property
    def is_main(self) -> bool:
        """Whether this process logs and writes: rank 0."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: T) -> list[T]:
        """Collect one value of each process, by rank; all processes get all of them."""
        values: list[Any] = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values

    def compute_on_main(self, compute: Callable[[], T]) -> T:
        """Compute something on rank 0 and send the result to all processes.

        A UserError ends all processes, and only rank 0 raises it as such; StopRequested is raised in all.
        """
        box: list[Any] = [None]
        if self.is_main:
            try:
                box[0] = compute()
            except (UserError, StopRequested) as error:
                box[0] = error
        if self.world_size > 1:
            dist.broadcast_object_list(box)
        if isinstance(box[0], UserError | StopRequested):
            raise box[0] if self.is_main or isinstance(box[0], StopRequested) else SystemExit(2)
        return cast(T, box[0])

    @contextmanager
    def raise_on_all(self) -> Iterator[None]:
        """End all processes where a block fails in one: that one raises its error, the others SystemExit."""
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        failures = self.sum(torch.tensor(int(failure is not None)))
        if failure is not None:
            raise failure
        if failures:
            raise SystemExit(2)

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Give every process the running statistics of rank 0, which are the ones that are saved."""
        if self.world_size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    def wrap_ddp(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Wrap a module so that its gradients are averaged over the processes."""
        if self.world_size == 1:
            return module
        return DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)

    def maybe_no_sync(self, module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Average gradients in the last part of a step only: processes may hold different numbers of parts."""
        if last or not isinstance(module, DistributedDataParallel):
            return nullcontext()
        return cast(AbstractContextManager[None], module.no_sync())


ALONE: Final = Distributed()
"""The only process of a training."""


@contextmanager
def join_processes() -> Iterator[Distributed]:
    """Join the processes that `torchrun` describes in the environment, if it does."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield ALONE
        return
    # Hours, because the other processes wait while rank 0 checks the data.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(hours=4))
    _groups.append(dist.group.WORLD)
    if dist.get_rank():
        PACKAGE_LOGGER.setLevel(logging.ERROR)  # Rank 0 logs for all.
    try:
        local = int(os.environ["LOCAL_RANK"]), world_size, int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
        yield Distributed(dist.get_rank(), *local)
    finally:
        dist.destroy_process_group()
