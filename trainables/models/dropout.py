"""Dropout whose probability is a tensor, so that a training step once captured can be given another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Set each activation to zero with probability ``rate``, a buffer that is not saved, and scale up the rest."""

    def __init__(self, rate: float):
        super().__init__()
        self.register_buffer("rate", torch.tensor(rate, dtype=torch.float32), persistent=False)

    def forward(self, activations: Tensor) -> Tensor:
        if not self.training:
            return activations
        kept = torch.rand(activations.shape, device=activations.device) >= self.rate
        return activations * (kept / (1 - self.rate)).to(activations.dtype)


def with_tensor_dropout(network: nn.Module) -> nn.Module:
    """Put a `Dropout` in the place of each of torch's that drops anything, in place; return ``network``."""
    for part in network.modules():
        for name, child in part.named_children():
            if type(child) is nn.Dropout and child.p > 0:
                setattr(part, name, Dropout(child.p))
    return network
