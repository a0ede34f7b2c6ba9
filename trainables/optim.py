"""Optimizers and learning-rate schedules, each as torch has it, fused where torch has that."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from trainables.config import TrialConfig


def make_optimizer(parameters: Iterable[Parameter], config: TrialConfig) -> Optimizer:
    """Return the optimizer that ``config`` names over ``parameters``; momentum is for sgd and rmsprop alone."""
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, momentum=config.momentum, fused=True, **shared)
        case "adam":
            return torch.optim.Adam(parameters, fused=True, **shared)
        case "adamw":
            return torch.optim.AdamW(parameters, fused=True, **shared)
        case "adagrad":
            return torch.optim.Adagrad(parameters, fused=True, **shared)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, momentum=config.momentum, **shared)
    raise ValueError(f"no optimizer {config.optimizer!r}")


def make_schedule(optimizer: Optimizer, config: TrialConfig) -> Callable[[float], None]:
    """Return the function that sets the next epoch's learning rate; call it after each epoch with its validation loss.

    ``cosine`` falls from ``learning_rate`` to zero over ``config.epochs``, a step an epoch. ``plateau`` divides the
    rate by ten where the validation loss has not fallen for a tenth of the epochs.
    """
    if config.lr_schedule == "cosine":
        cosine = CosineAnnealingLR(optimizer, T_max=config.epochs)
        return lambda loss: cosine.step()
    if config.lr_schedule == "plateau":
        return ReduceLROnPlateau(optimizer, patience=max(1, config.epochs // 10)).step
    return lambda loss: None
