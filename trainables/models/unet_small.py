"""A small U-Net: features at four scales, each joined again on the way back to the pixels.

Ronneberger et al., 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, with an eighth of its channels,
padding, and batch normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (8, 16, 32, 64)


class UNetSmall(nn.Module):
    """Images (N, channels, H, W) to a score a pixel and class (N, outputs, H, W)."""

    def __init__(self, channels: int, outputs: int, dropout: float):
        super().__init__()
        self.down = nn.ModuleList(map(block, (channels, *WIDTHS), WIDTHS))
        self.up = nn.ModuleList(block(wide + narrow, narrow) for narrow, wide in zip(WIDTHS, WIDTHS[1:]))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(WIDTHS[0], outputs, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        features = [self.down[0](images)]
        for stage in self.down[1:]:
            features.append(stage(F.max_pool2d(features[-1], 2)))
        found = self.dropout(features.pop())
        for stage in reversed(self.up):
            beside = features.pop()
            found = stage(torch.cat([F.interpolate(found, beside.shape[-2:]), beside], 1))
        return self.head(found)


def block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*convolution(inputs, outputs), *convolution(outputs, outputs))


def convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """Return a convolution without bias, which the normalisation after it would take away again."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 122,330 parameters (1 channel, 2 outputs); dropout stands where the image is smallest."""
    return UNetSmall(channels, outputs, dropout)
