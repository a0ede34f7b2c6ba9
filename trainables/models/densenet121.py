"""DenseNet-121 (Huang et al., 2016, Densely Connected Convolutional Networks), as torchvision builds it."""

from __future__ import annotations

import torchvision
from torch import nn

from trainables.models.stem import with_channels, with_dropout


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 7,978,856 parameters (3 channels, 1000 outputs); dropout stands before the last layer."""
    network = torchvision.models.densenet121(num_classes=outputs)
    features = network.features
    features.conv0 = with_channels(features.conv0, channels)
    # The stem's last two steps change places: the maximum of ReLUs is the ReLU of the maximum, and cheaper.
    features.relu0, features.pool0 = features.pool0, features.relu0
    network.classifier = with_dropout(network.classifier, dropout)
    return network
