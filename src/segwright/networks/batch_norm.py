"""BatchNorm on one value per channel: its running statistics are used, because one value has no variance.

PyTorch refuses such a batch: one image pooled to one pixel, as PSP's first level and DeepLab's image pooling do.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def single_values_allowed(network: nn.Module) -> Iterator[Sequence[nn.Module]]:
    """Within this context, BatchNorms in training mode take one value per channel; yields the list of those that did.

    SyncBatchNorms are left alone: other processes hold more values.
    """
    held: list[_BatchNorm] = []

    def hold(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(norm, _BatchNorm) and inputs[0].numel() == norm.num_features:
            norm.training = False
            held.append(norm)

    norms = [each for each in network.modules() if isinstance(each, _BatchNorm) and each.training]
    handles = [norm.register_forward_pre_hook(hold) for norm in norms if not isinstance(norm, nn.SyncBatchNorm)]
    try:
        yield held
    finally:
        for handle in handles:
            handle.remove()
        for norm in held:
            norm.training = True
