"""AlexNet's features, a convolution of one pixel to the classes, and bilinear upsampling: the plainest segmenter.

Long et al., 2014, Fully Convolutional Networks for Semantic Segmentation, without the skips.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class AlexNetFCN(nn.Module):
    """Images (N, channels, H, W) to a score a pixel and class (N, outputs, H, W)."""

    def __init__(self, channels: int, outputs: int, dropout: float):
        super().__init__()
        self.features = features(channels)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(256, outputs, kernel_size=1))

    def forward(self, images: Tensor) -> Tensor:
        scores = self.head(self.features(images))
        return F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)


def features(channels: int) -> nn.Sequential:
    """Return AlexNet's convolutions (Krizhevsky, 2014, One weird trick), named as torchvision names them.

    Pooling stands before ReLU: the maximum of ReLUs is the ReLU of the maximum, at a quarter of the work.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 64, kernel_size=11, stride=4, padding=2),
        nn.MaxPool2d(3, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 192, kernel_size=5, padding=2),
        nn.MaxPool2d(3, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(192, 384, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, kernel_size=3, padding=1),
        nn.MaxPool2d(3, stride=2),
        nn.ReLU(inplace=True),
    )


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 2,495,653 parameters (3 channels, 101 outputs); dropout stands before the last layer."""
    return AlexNetFCN(channels, outputs, dropout)
