"""From the optimizer's name to torch's, with the constants of MXNet where SageMaker leaves them open.

Source: SageMaker's contract, sections 3.1 and 3.4.
"""

from typing import Any

import torch
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop

from segwright.hyperparameters import Hyperparameters
from segwright.networks import SegmentationNetwork
from segwright.training.mxnet_sgd import MXNetSGD


def make_optimizer(network: SegmentationNetwork, settings: Hyperparameters) -> Optimizer:
    """Make the optimizer over all parameters of a network; the rate is set by `set_rate` before each update.

    Weight decay acts on all parameters, biases and BatchNorms included, as MXNet's does.
    """
    groups: list[dict[str, Any]] = [
        {"params": list(network.backbone_parameters()), "rate_factor": 1.0},
        {"params": list(network.head_parameters()), "rate_factor": settings.head_rate_factor},
    ]
    rate, decay, momentum = settings.learning_rate, settings.weight_decay, settings.momentum
    match settings.optimizer:
        case "sgd" if settings.update_rule == "gluoncv":
            return MXNetSGD(groups, lr=rate, momentum=momentum, weight_decay=decay)
        case "sgd":
            return SGD(groups, lr=rate, momentum=momentum, weight_decay=decay)
        case "nag":
            # torch refuses Nesterov without momentum, where it is plain gradient descent anyway.
            return SGD(groups, lr=rate, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
        case "adam":
            return Adam(groups, lr=rate, weight_decay=decay, eps=1e-8)
        case "adamw":
            return AdamW(groups, lr=rate, weight_decay=decay, eps=1e-8)
        case "adagrad":
            return Adagrad(groups, lr=rate, weight_decay=decay, eps=1e-7)
        case "adadelta":
            if settings.update_rule == "gluoncv":  # MXNet's knows no learning rate
                groups = [{**group, "fixed_rate": 1.0} for group in groups]
            return Adadelta(groups, lr=rate, weight_decay=decay, rho=0.9, eps=1e-5)
        case "rmsprop":
            # gamma2 acts in MXNet only when the gradient is centred, which is not its default.
            return RMSprop(groups, lr=rate, weight_decay=decay, alpha=settings.gamma1, eps=1e-8)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group: `rate` times the group's own factor, unless the group's rate is fixed."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("fixed_rate", rate * group["rate_factor"])
