"""Gradient descent with momentum that holds the learning rate, as MXNet applies it.

torch.optim.SGD keeps the rate outside its momentum. While the rate is constant both are the same; while it changes
they are not, and a step after the rate has become 0 still moves here. This module knows parameters and their gradients.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor


class MXNetSGD(torch.optim.Optimizer):
    """m <- momentum m - lr (gradient + weight_decay w); w <- w + m.

    Source: MXNet 1.9, `sgd_mom_update`; spec of GluonCV's training, section 3. The state of a parameter is its
    `momentum_buffer`, of the parameter's shape and dtype.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], group["momentum"], group["weight_decay"])
        return loss

    def _move(self, parameter: Tensor, rate: float, momentum: float, decay: float) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        slope = parameter.grad.add(parameter, alpha=decay)
        parameter.add_(state["momentum_buffer"].mul_(momentum).sub_(slope, alpha=rate))
