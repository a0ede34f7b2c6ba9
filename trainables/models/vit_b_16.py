"""ViT-B/16 (Dosovitskiy et al., 2020, An Image is Worth 16x16 Words), as torchvision builds it."""

from __future__ import annotations

import torchvision
from torch import nn

from trainables.models.stem import with_channels


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 86,567,656 parameters (3×224×224, 1000 outputs) for sizes that 16 divides.

    Dropout stands after the attention and the perceptron of every block.
    """
    network = torchvision.models.vit_b_16(num_classes=outputs, dropout=dropout, image_size=size)
    network.conv_proj = with_channels(network.conv_proj, channels)
    return network
