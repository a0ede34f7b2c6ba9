"""Normalisation as part of the network, so that saved weights carry it and prediction cannot forget it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainables.models import build


class Normalize(nn.Module):
    """Bring each channel of images (N, C, H, W) in 0..1 to the mean 0 and the deviation 1 of the training rows."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def network(
    architecture: str,
    *,
    channels: int,
    outputs: int,
    size: int,
    dropout: float = 0.0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> nn.Module:
    """Build ``architecture`` behind its `Normalize`: images (N, C, size, size) in 0..1 to (N, outputs).

    ``mean`` and ``std`` are buffers and so part of the ``state_dict``; leave them out where one is loaded.
    ``options`` are those of `trainables.models.OPTIONS`.
    """
    normalize = Normalize(mean or [0.0] * channels, std or [1.0] * channels)
    body = build(architecture, channels=channels, outputs=outputs, size=size, dropout=dropout, **options)
    return nn.Sequential(OrderedDict(normalize=normalize, network=body))
