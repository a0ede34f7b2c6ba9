"""ResNet-50 (He et al., 2015, Deep Residual Learning for Image Recognition), as torchvision builds it."""

from __future__ import annotations

import torchvision
from torch import nn

from trainables.models.stem import with_channels, with_dropout


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 25,557,032 parameters (3 channels, 1000 outputs); dropout stands before the last layer."""
    network = torchvision.models.resnet50(num_classes=outputs)
    network.conv1 = with_channels(network.conv1, channels)
    # The stem's last two steps change places: the maximum of ReLUs is the ReLU of the maximum, and cheaper.
    network.relu, network.maxpool = network.maxpool, network.relu
    network.fc = with_dropout(network.fc, dropout)
    return network
