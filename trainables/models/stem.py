"""What fits a published network to any images and outputs: its first convolution, its last layer, its pooling."""

from __future__ import annotations

from torch import Tensor, nn


def with_channels(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return ``conv`` itself, or a copy for ``channels`` channels that sees their mean as grey in every old channel.

    A grey image so gives what the old convolution gave for it in colour, and trained weights keep their meaning.
    """
    if conv.in_channels == channels:
        return conv
    new = nn.Conv2d(
        channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None
    )
    new.weight = nn.Parameter(spread(conv.weight.detach(), channels))
    if conv.bias is not None:
        new.bias = nn.Parameter(conv.bias.detach().clone())
    return new


def spread(weight: Tensor, channels: int) -> Tensor:
    """Return a convolution's weight (out, in, k, k) for ``channels`` input channels, each an equal share of the sum."""
    return weight.sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels


class DropoutLinear(nn.Linear):
    """A linear layer with dropout before it; its weights keep the names that they have in the plain layer."""

    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__(inputs, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(self.dropout(features))


def with_dropout(linear: nn.Linear, dropout: float) -> DropoutLinear:
    """Return ``linear``, its weights included, with dropout before it."""
    new = DropoutLinear(linear.in_features, linear.out_features, dropout)
    new.weight, new.bias = linear.weight, linear.bias
    return new


def pool_before_relu(layers: nn.Sequential) -> nn.Sequential:
    """Let each ReLU that stands right before a max-pool change places with it, in place; return ``layers``.

    The maximum of ReLUs is the ReLU of the maximum, at a fraction of the work; neither has weights to name.
    """
    for index in range(len(layers) - 1):
        if isinstance(layers[index], nn.ReLU) and isinstance(layers[index + 1], nn.MaxPool2d):
            layers[index], layers[index + 1] = layers[index + 1], layers[index]
    return layers
