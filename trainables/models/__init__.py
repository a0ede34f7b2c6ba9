"""The networks: one architecture a file, named here without importing any of them."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable
from typing import Any

from trainables import own

if typing.TYPE_CHECKING:
    from torch import nn

MODELS = {
    "alexnet_fcn": "trainables.models.alexnet_fcn",
    "alexnet_small": "trainables.models.alexnet_small",
    "conv3_fc2": "trainables.models.conv3_fc2",
    "densenet121": "trainables.models.densenet121",
    "efficientnet_b0": "trainables.models.efficientnet_b0",
    "mobilenet_v2": "trainables.models.mobilenet_v2",
    "mobilenet_v3_small": "trainables.models.mobilenet_v3_small",
    "resnet18": "trainables.models.resnet18",
    "resnet50": "trainables.models.resnet50",
    "shufflenet_slim": "trainables.models.shufflenet_slim",
    "shufflenet_v2_x0_5": "trainables.models.shufflenet_v2_x0_5",
    "simple_cnn": "trainables.models.simple_cnn",
    "squeezenet1_1": "trainables.models.squeezenet1_1",
    "unet_small": "trainables.models.unet_small",
    "vgg16": "trainables.models.vgg16",
    "vgg19": "trainables.models.vgg19",
    "vit_b_16": "trainables.models.vit_b_16",
    "vit_tiny": "trainables.models.vit_tiny",
}

MAPS = ("alexnet_fcn", "unet_small")  # these give (N, outputs, size, size), all others (N, outputs)

CALL = ("channels", "outputs", "size", "dropout")  # what every `build` is called with
KEY = "space.architecture"

OPTIONS = ("patch_size", "depth")  # settings of a trial that reach only a network whose `build` names them


def build(name: str, *, channels: int, outputs: int, size: int, dropout: float = 0.0, **options: Any) -> nn.Module:
    """Build the network ``name``: one of `MODELS`, or a user's own as ``module:function``.

    Args:
        channels: channels of the input images.
        outputs: width of the last layer.
        size: side of the square input images in pixels (some networks flatten their last feature map).
        dropout: probability that an activation before the last layers is dropped, in [0, 1).
        options: those of `OPTIONS` that a trial sets; each goes only to a network that takes it.

    Returns:
        A module from float images (N, channels, size, size) to (N, outputs), or to a map an output for `MAPS`.

    Raises:
        BadInput: a user's function cannot be imported or called; says what is wrong with it.
    """
    function = builder(name)
    taken = {option: value for option, value in options.items() if option in options_of(function)}
    return function(channels=channels, outputs=outputs, size=size, dropout=dropout, **taken)


def builder(name: str) -> Callable[..., nn.Module]:
    """Return the function that builds the network ``name``."""
    return importlib.import_module(MODELS[name]).build if name in MODELS else own.function(name, CALL, KEY)


def options_of(function: Callable[..., Any]) -> set[str]:
    """Return which of `OPTIONS` a building function takes by name."""
    return set(OPTIONS) & set(inspect.signature(function).parameters)
