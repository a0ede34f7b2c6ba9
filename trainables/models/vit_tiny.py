"""A small vision transformer that trains from nothing on a few thousand images.

A plain ViT needs far more data to find out that neighbouring pixels belong together. Overlapping strided convolutions
in place of cut patches tell it (Xiao et al., 2021, Early Convolutions Help Transformers See Better), and a weighted
mean over all tokens in place of a class token uses what each of them saw (Hassani et al., 2021, Escaping the Big Data
Paradigm with Compact Transformers).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, MLP = 128, 4, 256


class Attention(nn.Module):
    """Multi-head self-attention over tokens (N, T, WIDTH)."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        images, count, _ = tokens.shape
        query, key, value = self.qkv(tokens).view(images, count, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(images, count, WIDTH))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and added to its input."""

    def __init__(self, dropout: float):
        super().__init__()
        self.attend = nn.Sequential(nn.LayerNorm(WIDTH), Attention(), nn.Dropout(dropout))
        self.think = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, MLP), nn.GELU(), nn.Linear(MLP, WIDTH), nn.Dropout(dropout)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attend(tokens)
        return tokens + self.think(tokens)


class VisionTransformer(nn.Module):
    """Images (N, channels, size, size) to (N, outputs), through one token for each ``patch_size`` pixels squared."""

    def __init__(self, channels: int, outputs: int, size: int, dropout: float, patch_size: int, depth: int):
        super().__init__()
        self.stem = stem(channels, patch_size)
        side = -(-size // patch_size)
        self.position = nn.Parameter(0.02 * torch.randn(1, side * side, WIDTH))
        self.blocks = nn.Sequential(*(Block(dropout) for _ in range(depth)), nn.LayerNorm(WIDTH))
        self.weigh = nn.Linear(WIDTH, 1)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(WIDTH, outputs))

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        tokens = self.blocks(tokens + self.position)
        weights = self.weigh(tokens).softmax(1)
        return self.head((weights.transpose(1, 2) @ tokens).squeeze(1))


def stem(channels: int, patch_size: int) -> nn.Sequential:
    """Return convolutions of stride 2 that together shrink each side ``patch_size`` times, a power of two."""
    stages = patch_size.bit_length() - 1
    widths = [channels, *(max(16, WIDTH >> stages - stage) for stage in range(1, stages)), WIDTH]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def build(
    *, channels: int, outputs: int, size: int, dropout: float = 0.0, patch_size: int = 8, depth: int = 6
) -> nn.Module:
    """Build the network for any size; ``patch_size`` is a power of two, ``depth`` the number of blocks.

    Dropout stands after the attention and the perceptron of every block and before the last layer.
    """
    return VisionTransformer(channels, outputs, size, dropout, patch_size, depth)
