"""Where a training batch leaves a BatchNorm one value per channel, it uses its running statistics.

One value has no variance. PyTorch refuses such a batch (one image, pooled to one pixel, as PSP's first level
and DeepLab's image pooling do); with the running statistics the step is sound, and leaves them as they are.
This module knows any module with BatchNorms, and nothing of segmentation.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def single_values_allowed(network: nn.Module) -> Iterator[Sequence[nn.Module]]:
    """Within this context, BatchNorms of ``network`` in training mode take one value per channel.

    The list it gives holds those that had to. It logs nothing, because that would be once a step.
    """
    held: list[_BatchNorm] = []

    def hold(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(norm, _BatchNorm) and inputs[0].numel() == norm.num_features:
            norm.training = False
            held.append(norm)

    norms = [module for module in network.modules() if _is_alone(module) and module.training]
    handles = [norm.register_forward_pre_hook(hold) for norm in norms]
    try:
        yield held
    finally:
        for handle in handles:
            handle.remove()
        for norm in held:
            norm.training = True


def _is_alone(module: nn.Module) -> bool:
    """Whether a module is a BatchNorm that sees the values of its own process only."""
    return isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm)
