"""MobileNetV2 (Sandler et al., 2018, Inverted Residuals and Linear Bottlenecks), as torchvision builds it."""

from __future__ import annotations

import torchvision
from torch import nn

from trainables.models.stem import with_channels


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 3,504,872 parameters (3 channels, 1000 outputs); dropout stands before the last layer."""
    network = torchvision.models.mobilenet_v2(num_classes=outputs, dropout=dropout)
    network.features[0][0] = with_channels(network.features[0][0], channels)
    return network
