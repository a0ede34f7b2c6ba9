"""ShuffleNet V2 at half width without its last convolution, with a head of two tiny linear layers."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from trainables.models import shufflenet_v2_x0_5


def build(*, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network of 143,528 parameters (3 channels, 2 outputs).

    ``dropout`` stands before the first linear layer and a tenth of it before the second, which sees two numbers only.
    """
    whole = shufflenet_v2_x0_5.build(channels=channels, outputs=outputs, size=size)
    body = list(whole.named_children())[:-2]
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(192, 2),
        nn.Dropout(dropout / 10),
        nn.Linear(2, outputs),
    )
    return nn.Sequential(OrderedDict([*body, ("head", head)]))
