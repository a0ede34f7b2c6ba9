"""A small U-Net: features at four scales from half the image's size down, each joined again on the way back.

Ronneberger et al., 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, with a quarter of its channels,
padding and batch normalisation. Half the size and twice the channels learn faster on a CPU than the whole size did.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64, 128)


class UNetSmall(nn.Module):
    """Images (N, channels, H, W) to a score a pixel and class (N, outputs, H, W)."""

    def __init__(self, channels: int, outputs: int, dropout: float):
        super().__init__()
        self.stem = nn.Sequential(*convolution(channels, WIDTHS[0], kernel_size=5, stride=2))
        self.down = nn.ModuleList(map(block, (WIDTHS[0], *WIDTHS), WIDTHS))
        self.up = nn.ModuleList(block(wide + narrow, narrow) for narrow, wide in zip(WIDTHS, WIDTHS[1:]))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(WIDTHS[0], outputs, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        features = [self.down[0](self.stem(images))]
        for stage in self.down[1:]:
            features.append(stage(F.max_pool2d(features[-1], 2)))
        found = self.dropout(features.pop())
        for stage in reversed(self.up):
            beside = features.pop()
            found = stage(torch.cat([F.interpolate(found, beside.shape[-2:]), beside], 1))
        return F.interpolate(self.head(found), images.shape[-2:], mode="bilinear", align_corners=False)


def block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*convolution(inputs, outputs), *convolution(outputs, outputs))


def convolution(inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1) -> list[nn.Module]:
    """Return a convolution without bias, which the normalisation after it would take away again."""
    conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 490,322 parameters (1 channel, 2 outputs); dropout stands where the image is smallest."""
    return UNetSmall(channels, outputs, dropout)
