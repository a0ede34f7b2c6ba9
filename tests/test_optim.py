"""Optimizers against steps worked by hand, and schedules against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from trainables.config import LR_SCHEDULES, OPTIMIZERS, TrialConfig
from trainables.optim import make_optimizer, make_schedule

RATE, DECAY, MOMENTUM, EPS = 0.1, 0.01, 0.5, 1e-8


def after(optimizer: str, gradients: list[float], **settings: float) -> float:
    """Return where one weight of 1.0 stands after a step along each gradient."""
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    step = make_optimizer([weight], TrialConfig(optimizer=optimizer, learning_rate=RATE, **settings))
    for gradient in gradients:
        weight.grad = torch.tensor([gradient])
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


def rates(schedule: str, losses: list[float], epochs: int) -> list[float]:
    """Return the learning rate of each epoch, where the epochs came to ``losses``."""
    config = TrialConfig(lr_schedule=schedule, learning_rate=RATE, epochs=epochs, optimizer="sgd")
    optimizer = make_optimizer([torch.nn.Parameter(torch.ones(1))], config)
    advance, found = make_schedule(optimizer, config), []
    for loss in losses:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        advance(loss)
    return found


@pytest.mark.parametrize("schedule", LR_SCHEDULES)
def test_first_epoch_has_the_rate_that_was_given(schedule):
    assert rates(schedule, [1.0], epochs=5) == [RATE]


def test_none_stays():
    assert rates("none", [1.0] * 4, epochs=4) == [RATE] * 4


def test_cosine_falls_to_zero_over_the_epochs():
    expected = [RATE * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates("cosine", [1.0] * 4, epochs=4) == pytest.approx(expected)


def test_plateau_waits_a_tenth_of_the_epochs_and_divides_by_ten():
    assert rates("plateau", [1.0, 0.9, 0.9, 0.9, 0.9], epochs=10) == pytest.approx([RATE] * 4 + [RATE / 10])
