"""Three convolutions with batch normalisation and two linear layers: small, quick and hard to beat below 64 pixels."""

from __future__ import annotations

from torch import nn


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 390,634 parameters (1×28×28, 10 outputs); dropout stands before both linears."""
    side = size // 8
    return nn.Sequential(
        *block(channels, 32),
        *block(32, 64),
        *block(64, 128),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(128 * side * side, 256),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(256, outputs),
    )


def block(inputs: int, outputs: int) -> list[nn.Module]:
    """Return one stage; it pools before ReLU, which is the same function at a quarter of the work."""
    return [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
    ]
