"""The first convolution of a network made for colour images, for any number of channels."""

from __future__ import annotations

from torch import nn


def with_channels(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return ``conv`` itself, or a copy for ``channels`` channels that sees their mean as grey in every old channel.

    A grey image so gives what the old convolution gave for it in colour, and trained weights keep their meaning.
    """
    if conv.in_channels == channels:
        return conv
    new = nn.Conv2d(
        channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None
    )
    new.weight = nn.Parameter(conv.weight.detach().sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels)
    if conv.bias is not None:
        new.bias = nn.Parameter(conv.bias.detach().clone())
    return new
