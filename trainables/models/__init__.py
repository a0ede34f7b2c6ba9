"""The networks: one architecture a file, named here without importing any of them."""

from __future__ import annotations

import importlib
import typing

if typing.TYPE_CHECKING:
    from torch import nn

MODELS = {
    "alexnet_small": "trainables.models.alexnet_small",
    "conv3_fc2": "trainables.models.conv3_fc2",
    "mobilenet_v3_small": "trainables.models.mobilenet_v3_small",
    "resnet18": "trainables.models.resnet18",
    "shufflenet_v2_x0_5": "trainables.models.shufflenet_v2_x0_5",
    "simple_cnn": "trainables.models.simple_cnn",
}


def build(name: str, *, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network ``name``.

    Args:
        channels: channels of the input images.
        outputs: width of the last layer.
        size: side of the square input images in pixels (some networks flatten their last feature map).
        dropout: probability that an activation before the last layers is dropped, in [0, 1).

    Returns:
        A module from float images (N, channels, size, size) to (N, outputs).
    """
    module = importlib.import_module(MODELS[name])
    return module.build(channels=channels, outputs=outputs, size=size, dropout=dropout)
