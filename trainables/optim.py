"""Optimizers and learning-rate schedules, each as torch has it, fused where torch has that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainables.config import TrialConfig


def make_optimizer(parameters: Iterable[Parameter], config: TrialConfig, rate: float | Tensor) -> Optimizer:
    """Return the optimizer that ``config`` names over ``parameters``; momentum is for sgd and rmsprop alone.

    It leaves weight decay to `decay_weights`. Where ``rate`` is a tensor, the learning rate is read from it at each
    step. On a GPU a step can be captured in a CUDA graph.
    """
    parameters = list(parameters)
    capturable = parameters[0].is_cuda
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=config.momentum, fused=True)
        case "adam" | "adamw":  # apart from how the weights decay they are the same
            return torch.optim.Adam(parameters, lr=rate, fused=True, capturable=capturable)
        case "adagrad":
            return torch.optim.Adagrad(parameters, lr=rate, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr=rate, momentum=config.momentum, capturable=capturable)
    raise ValueError(f"no optimizer {config.optimizer!r}")


@torch.no_grad()
def decay_weights(optimizer: Optimizer, decay: Tensor, decoupled: bool) -> None:
    """Decay the weights by the tensor ``decay``, between the backward pass and the step of ``optimizer``.

    As an L2 penalty it is added to the gradients; ``decoupled`` (adamw) shrinks the weights themselves instead:
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019. torch's own takes no tensor.
    """
    [group] = optimizer.param_groups
    weights = [weight for weight in group["params"] if weight.grad is not None]
    if decoupled:
        torch._foreach_mul_(weights, 1 - group["lr"] * decay)
    else:
        torch._foreach_addcmul_([weight.grad for weight in weights], weights, [decay] * len(weights))


def clear_state(optimizer: Optimizer) -> None:
    """Take back every step of ``optimizer`` in place: all that the optimizers above remember starts at zero."""
    for state in optimizer.state.values():
        for memory in state.values():
            if isinstance(memory, Tensor):
                memory.zero_()


def memory(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the tensors that ``optimizer`` remembers, each named by the number of its weight and what it is."""
    [group] = optimizer.param_groups
    return {f"{number}.{name}": value for number, weight in enumerate(group["params"])
            for name, value in optimizer.state[weight].items() if isinstance(value, Tensor)}


@torch.no_grad()
def remember(optimizer: Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Let ``optimizer`` remember what `memory` returned of another; tensors that it has already are written in place."""
    [group] = optimizer.param_groups
    for key, value in saved.items():
        number, _, name = key.partition(".")
        weight = group["params"][int(number)]
        state = optimizer.state[weight]
        if name not in state:  # laid out as the weight is, as the optimizer itself would have it
            state[name] = torch.empty_like(weight if value.shape == weight.shape else value, device=weight.device)
        state[name].copy_(value)


def make_schedule(config: TrialConfig) -> Callable[[int, float], float]:
    """Return the function from an epoch (from 1) and its validation loss to the learning rate of the next epoch.

    ``cosine`` falls from ``learning_rate`` to zero over ``config.epochs``, a step an epoch. ``plateau`` divides the
    rate by ten where the validation loss has not fallen for a tenth of the epochs.
    """
    if config.lr_schedule == "cosine":
        return lambda epoch, loss: config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
    if config.lr_schedule == "plateau":
        return plateau(config.learning_rate, patience=max(1, config.epochs // 10))
    return lambda epoch, loss: config.learning_rate


def plateau(rate: float, patience: int) -> Callable[[int, float], float]:
    """Return torch's ReduceLROnPlateau as a function; it works on an optimizer of nothing, that keeps the rate."""
    keeper = torch.optim.SGD([torch.zeros(1)], lr=rate)
    scheduler = ReduceLROnPlateau(keeper, patience=patience)

    def next_rate(epoch: int, loss: float) -> float:
        scheduler.step(loss)
        return keeper.param_groups[0]["lr"]

    return next_rate
