"""A small AlexNet for inspection images: three convolutions and two wide linear layers.

Pooling stands before ReLU throughout: the maximum of ReLUs is the ReLU of the maximum, at a quarter of the work.
"""

from __future__ import annotations

from torch import nn


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 13,102,598 parameters (1 channel, 6 outputs) for any size from 81 pixels."""
    features = nn.Sequential(
        nn.Conv2d(channels, 64, kernel_size=7, stride=3, padding=2),
        nn.MaxPool2d(3, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 128, kernel_size=5, stride=2, padding=2),
        nn.MaxPool2d(3, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(128, 256, kernel_size=3, padding=1),
        nn.MaxPool2d(3, stride=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(4),
    )
    head = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(256 * 4 * 4, 2048),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(2048, 2048),
        nn.ReLU(inplace=True),
        nn.Linear(2048, outputs),
    )
    return nn.Sequential(features, head)
