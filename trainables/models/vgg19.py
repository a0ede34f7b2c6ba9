"""VGG-19 (Simonyan and Zisserman, 2014, Very Deep Convolutional Networks), as torchvision builds it."""

from __future__ import annotations

import torchvision
from torch import nn

from trainables.models.stem import pool_before_relu, with_channels


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 143,667,240 parameters (3 channels, 1000 outputs); dropout stands before its last two layers."""
    network = torchvision.models.vgg19(num_classes=outputs, dropout=dropout)
    network.features[0] = with_channels(network.features[0], channels)
    pool_before_relu(network.features)
    return network
