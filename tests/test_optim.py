"""Optimizers against steps worked by hand, and schedules against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from trainables.config import OPTIMIZERS, TrialConfig
from trainables.optim import clear_state, decay_weights, make_optimizer, make_schedule

RATE, DECAY, MOMENTUM, EPS = 0.1, 0.01, 0.5, 1e-8


def after(optimizer: str, gradients: list[float], **settings: float) -> float:
    """Return where one weight of 1.0 stands after a step along each gradient."""
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    config = TrialConfig(optimizer=optimizer, learning_rate=RATE, **settings)
    step = make_optimizer([weight], config, torch.tensor(RATE))
    for gradient in gradients:
        weight.grad = torch.tensor([gradient])
        decay_weights(step, torch.tensor(config.weight_decay), decoupled=optimizer == "adamw")
        step.step()
    return weight.item()


# After the first step adam and rmsprop know one gradient g only: m/(sqrt(v)+eps) is sign(g), and g/sqrt(0.01 g²) = 10.
BY_HAND = [
    ("sgd", [2.0], {"momentum": 0}, 1 - RATE * 2),
    ("sgd", [2.0, 2.0], {"momentum": MOMENTUM}, 1 - RATE * 2 - RATE * (MOMENTUM * 2 + 2)),
    ("sgd", [2.0], {"momentum": 0, "weight_decay": DECAY}, 1 - RATE * (2 + DECAY)),
    ("adam", [2.0], {}, 1 - RATE),
    ("adamw", [2.0], {"weight_decay": DECAY}, 1 - RATE * DECAY - RATE),
    ("rmsprop", [2.0], {"momentum": 0}, 1 - RATE * 10),
    ("rmsprop", [2.0], {"momentum": MOMENTUM}, 1 - RATE * 10),
    ("adagrad", [2.0], {}, 1 - RATE),
    ("adagrad", [2.0, 2.0], {}, 1 - RATE - RATE * 2 / math.sqrt(8)),
]


@pytest.mark.parametrize("optimizer, gradients, settings, expected", BY_HAND)
def test_steps_by_hand(optimizer, gradients, settings, expected):
    assert after(optimizer, gradients, **settings) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_decays_weights(optimizer):
    assert after(optimizer, [1.0, -1.0], weight_decay=0.5) < after(optimizer, [1.0, -1.0])


TORCH = {
    "sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}  # fmt: skip


def follow(step, weights: list[torch.nn.Parameter], update) -> torch.Tensor:
    """Return where ``weights`` stand after a few steps along gradients that are always the same."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        update()
        step.step()
    return torch.cat([weight.detach().flatten() for weight in weights])


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_tensors_do_as_torch_does_with_numbers(optimizer, decay):
    """Rate and weight decay from tensors, against torch's own optimizer with both as numbers."""
    start = [torch.linspace(-1, 1, 6).view(2, 3), torch.ones(4)]
    ours, theirs = ([torch.nn.Parameter(weight.clone()) for weight in start] for _ in range(2))
    momentum = {"momentum": 0.9} if optimizer in ("sgd", "rmsprop") else {}
    plain = TORCH[optimizer](theirs, lr=0.03, weight_decay=decay, **momentum)
    step = make_optimizer(ours, TrialConfig(optimizer=optimizer), torch.tensor(0.03))

    def update():
        decay_weights(step, torch.tensor(decay), decoupled=optimizer == "adamw")

    expected = follow(plain, theirs, lambda: None)
    torch.testing.assert_close(follow(step, ours, update), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_cleared_optimizer_is_a_new_one(optimizer):
    weights = [torch.nn.Parameter(torch.ones(3))]
    step = make_optimizer(weights, TrialConfig(optimizer=optimizer), torch.tensor(0.1))
    first = follow(step, weights, lambda: None)
    clear_state(step)
    weights[0].data.fill_(1)
    assert torch.equal(follow(step, weights, lambda: None), first)


def rates(schedule: str, losses: list[float], epochs: int) -> list[float]:
    """Return the learning rate of each epoch, where the epochs came to ``losses``."""
    config = TrialConfig(lr_schedule=schedule, learning_rate=RATE, epochs=epochs, optimizer="sgd")
    next_rate, found = make_schedule(config), [RATE]
    for epoch, loss in enumerate(losses[:-1], 1):
        found.append(next_rate(epoch, loss))
    return found


def test_none_stays():
    assert rates("none", [1.0] * 4, epochs=4) == [RATE] * 4


def test_cosine_falls_to_zero_over_the_epochs():
    expected = [RATE * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates("cosine", [1.0] * 4, epochs=4) == pytest.approx(expected)


def test_plateau_waits_a_tenth_of_the_epochs_and_divides_by_ten():
    assert rates("plateau", [1.0, 0.9, 0.9, 0.9, 0.9], epochs=10) == pytest.approx([RATE] * 4 + [RATE / 10])
