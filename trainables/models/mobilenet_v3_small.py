"""MobileNetV3 Small (Howard et al., 2019, Searching for MobileNetV3), as torchvision builds it."""

from __future__ import annotations

from functools import partial

import torchvision
from torch import nn

from trainables.models.stem import with_channels

# torchvision's momentum of 0.01 suits runs of many thousand steps; after a few hundred, the running
# statistics would still be mostly their initial values and the validation score noise.
normalisation = partial(nn.BatchNorm2d, eps=0.001, momentum=0.1)


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 1,560,906 parameters (3 channels, 42 outputs); dropout stands before the last layer."""
    network = torchvision.models.mobilenet_v3_small(num_classes=outputs, dropout=dropout, norm_layer=normalisation)
    network.features[0][0] = with_channels(network.features[0][0], channels)
    return network
