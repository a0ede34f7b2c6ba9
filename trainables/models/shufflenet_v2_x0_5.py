"""ShuffleNet V2 at half width (Ma et al., 2018, Practical Guidelines for Efficient CNN Architecture Design)."""

from __future__ import annotations

import torchvision
from torch import nn

from trainables.models.stem import with_channels, with_dropout


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 1,366,792 parameters (3 channels, 1000 outputs); dropout stands before the last layer."""
    network = torchvision.models.shufflenet_v2_x0_5(num_classes=outputs)
    network.conv1[0] = with_channels(network.conv1[0], channels)
    # The stem's last two steps change places: the maximum of ReLUs is the ReLU of the maximum, and cheaper.
    network.conv1[2], network.maxpool = network.maxpool, network.conv1[2]
    network.fc = with_dropout(network.fc, dropout)
    return network
