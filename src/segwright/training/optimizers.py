"""Optimizers and learning rates, with MXNet's constants where SageMaker leaves them open.

Source: SageMaker's contract, sections 3.1, 3.3 and 3.4.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop

from segwright.hyperparameters import Hyperparameters
from segwright.networks import SegmentationNetwork


def make_optimizer(network: SegmentationNetwork, settings: Hyperparameters) -> Optimizer:
    """Make the optimizer over all parameters of a network; `set_lr` sets the learning rate before each update.

    Weight decay acts on all parameters, biases and BatchNorms included, as MXNet's does.
    """
    groups: list[dict[str, Any]] = [
        {"params": list(network.backbone.parameters()), "lr_factor": 1.0},
        {"params": list(network.head_parameters()), "lr_factor": settings.head_rate_factor},
    ]
    lr, decay, momentum = settings.learning_rate, settings.weight_decay, settings.momentum
    gluoncv = settings.update_rule == "gluoncv"
    match settings.optimizer:
        case "sgd" if gluoncv:
            return MXNetSGD(groups, lr=lr, momentum=momentum, weight_decay=decay)
        case "sgd" | "nag" as name:
            # torch refuses Nesterov without momentum, where it is plain gradient descent anyway.
            nesterov = name == "nag" and momentum > 0
            return SGD(groups, lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov)
        case "adam":
            return Adam(groups, lr=lr, weight_decay=decay, eps=1e-8)
        case "adamw":
            return AdamW(groups, lr=lr, weight_decay=decay, eps=1e-8)
        case "adagrad":
            return Adagrad(groups, lr=lr, weight_decay=decay, eps=1e-7)
        case "adadelta":
            if gluoncv:  # MXNet's knows no learning rate.
                groups = [{**group, "fixed_lr": 1.0} for group in groups]
            return Adadelta(groups, lr=lr, weight_decay=decay, rho=0.9, eps=1e-5)
        case "rmsprop":
            # gamma2 acts in MXNet only when the gradient is centred, which is not its default.
            return RMSprop(groups, lr=lr, weight_decay=decay, alpha=settings.gamma1, eps=1e-8)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group: `lr` times the group's own factor, unless the group's is fixed."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("fixed_lr", lr * group["lr_factor"])


class MXNetSGD(Optimizer):
    """Gradient descent whose momentum holds the learning rate: m <- momentum m - lr (gradient + decay w); w <- w + m.

    torch.optim.SGD keeps the learning rate outside its momentum; the two differ while it changes.
    Source: MXNet 1.9, `sgd_mom_update`.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Make one update of all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                slope = parameter.grad.add(parameter, alpha=group["weight_decay"])
                parameter.add_(state["momentum_buffer"].mul_(group["momentum"]).sub_(slope, alpha=group["lr"]))


def learning_rate(settings: Hyperparameters, update: int, updates_per_epoch: int, total: float | None = None) -> float:
    """Return the learning rate for update n = `update`, counted from 0, of N = `total` in the run (all epochs').

    First, for `warmup` of all N updates, base (n + 1) / W with W = warmup N. Then, with d = (n - W) / (N - W):
    poly: base (1 - d)^0.9; cosine: base (1 + cos(pi d)) / 2; step: base times `lr_scheduler_factor` at each listed
    epoch, counted from 0. Past the end poly and cosine stay at 0.
    """
    if total is None:
        total = settings.epochs * updates_per_epoch
    warm = settings.warmup * total
    if update < warm:
        return settings.learning_rate * min((update + 1) / warm, 1.0)
    done = min((update - warm) / (total - warm), 1.0)
    match settings.lr_scheduler:
        case "poly":
            return settings.learning_rate * float((1 - done) ** 0.9)
        case "cosine":
            return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
        case "step":
            passed = sum(update // updates_per_epoch >= epoch for epoch in settings.lr_scheduler_step or ())
            return float(settings.learning_rate * settings.lr_scheduler_factor**passed)


def updates_per_epoch(settings: Hyperparameters, samples: int) -> int:
    """Return the updates that an epoch of `samples` pairs, at least a batch, has in the formula of the schedule.

    Where the last batch rolls over: floor(samples / batch), as SageMaker's algorithm prints it; the true number is on
    average a little more.
    """
    rollover = settings.last_batch == "rollover"
    return samples // settings.mini_batch_size if rollover else -(-samples // settings.mini_batch_size)
