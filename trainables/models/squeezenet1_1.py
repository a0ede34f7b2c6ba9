"""SqueezeNet 1.1 (Iandola et al., 2016, AlexNet-level accuracy with 50x fewer parameters), as torchvision builds it."""

from __future__ import annotations

import torchvision
from torch import nn

from trainables.models.stem import pool_before_relu, with_channels


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 1,235,496 parameters (3 channels, 1000 outputs), or of 726,410 (1 channel, 10 outputs).

    Grey images get a padded stem without bias, which leaves more of small images; dropout stands before the last layer.
    """
    network = torchvision.models.squeezenet1_1(num_classes=outputs, dropout=dropout)
    if channels == 1:
        network.features[0] = nn.Conv2d(1, 64, kernel_size=3, stride=2, padding=1, bias=False)
    else:
        network.features[0] = with_channels(network.features[0], channels)
    pool_before_relu(network.features)
    return network
