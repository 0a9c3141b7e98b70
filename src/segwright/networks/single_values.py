"""What a BatchNorm does in training when a batch leaves it one value per channel: it uses its running
statistics.

One value has no variance. PyTorch refuses such a batch (one image, pooled to one pixel, as PSP's first level
and DeepLab's image pooling do); with the running statistics the step is sound, and leaves them as they are.
This module knows any module with BatchNorms, and nothing of segmentation.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_log = logging.getLogger("segwright")


@contextmanager
def single_values_allowed(network: nn.Module) -> Iterator[None]:
    """Within this context, training-mode BatchNorms of ``network`` take one value per channel, and say so."""
    held: list[_BatchNorm] = []

    def hold(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(norm, _BatchNorm) and inputs[0].numel() == norm.num_features:
            norm.training = False
            held.append(norm)

    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.training]
    handles = [norm.register_forward_pre_hook(hold) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for norm in held:
            norm.training = True
    if held:
        _log.info("A batch of one image left one value per channel: BatchNorm used its running statistics there.")
