"""One training in several processes, one a GPU, as `torchrun` starts them; alone, everything is a no-op.

Knows torch.distributed. Refuses to know what is trained.
"""

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

Anything = TypeVar("Anything")

_kept: list[object] = []
"""The process group, until the process ends: were it freed with the last network that exchanges gradients, its thread
and Python's would wait for each other for ever.
"""

_PATIENCE: Final = timedelta(hours=4)  # The others wait while the first process checks the data, which can be many.


@dataclass(frozen=True)
class Distributed:
    """Which process this is, and of how many."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    """How many of the processes are on this machine."""

    @property
    def first(self) -> bool:
        """Whether this is the process that logs and writes."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: Anything) -> list[Anything]:
        """Collect one value of each process, in the order of their ranks; all processes get all of them."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def first_computes(self, compute: Callable[[], Anything]) -> Anything:
        """Let the first process compute something, and give the result to all.

        A UserError of the first process ends all of them; only the first one tells it. StopRequested is raised in
        all.
        """
        if self.world_size == 1:
            return compute()
        box: list[Any] = [None]
        if self.first:
            try:
                box[0] = compute()
            except (UserError, StopRequested) as error:
                box[0] = error
        dist.broadcast_object_list(box)
        if isinstance(box[0], UserError):
            raise box[0] if self.first else SystemExit(2)
        if isinstance(box[0], StopRequested):
            raise box[0]
        return cast(Anything, box[0])

    def fail_together(self, failure: UserError | None) -> None:
        """End all processes where one has failed: it raises its failure, and the others leave without a word."""
        failures = self.sum(torch.tensor(int(failure is not None)))
        if failure is not None:
            raise failure
        if failures:
            raise SystemExit(2)

    def agree(self, network: nn.Module) -> None:
        """Give every process the running statistics of the first one, which are those that are saved."""
        if self.world_size > 1:
            for statistics in network.buffers():
                dist.broadcast(statistics, 0)

    def averaging(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Wrap a module so that its gradients are averaged over the processes."""
        if self.world_size == 1:
            return module
        return DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)

    def exchange(self, module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients in the last part of a step only: processes may hold different numbers of parts."""
        if last or not isinstance(module, DistributedDataParallel):
            return nullcontext()
        return cast(AbstractContextManager[None], module.no_sync())


@contextmanager
def join_processes() -> Iterator[Distributed]:
    """Join the processes that `torchrun` describes in the environment, if it does."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Distributed()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    _kept.append(dist.group.WORLD)
    if dist.get_rank():
        PACKAGE_LOGGER.setLevel(logging.ERROR)  # What the first process says need not be said again.
    try:
        local = int(os.environ["LOCAL_RANK"]), world_size, int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
        yield Distributed(dist.get_rank(), *local)
    finally:
        dist.destroy_process_group()
