"""Starting a network from trained weights, whatever its channels, outputs and image size."""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.config import TrialConfig
from trainables.errors import BadInput
from trainables.models import published
from trainables.models.count import network_of
from trainables.models.stem import spread

State = dict[str, Tensor]

NEW_HEADS = {"alexnet_fcn": "head.", "shufflenet_slim": "head."}  # layers that the published networks do not have


def load_pretrained(network: nn.Module, config: TrialConfig, channels: int, outputs: int) -> None:
    """Give ``network``, built as ``config`` says, the weights to start from; its head stays as it is where it is another.

    Raises:
        BadInput: the weights cannot be had, read or fitted.
    """
    network.load_state_dict({**network.state_dict(), **starting_weights(config, channels, outputs)})


def starting_weights(config: TrialConfig, channels: int, outputs: int) -> State:
    """Return the trained tensors that fit the network of ``config``, by their names in it."""
    published.check(config.architecture, config.weights)
    path = Path(config.weights) if config.weights else published.fetch(config.architecture)
    shape = (config.architecture, channels)
    network = network_of(*shape, outputs, config.image_size, **config.options()).state_dict()
    wider = network_of(*shape, outputs + 1, config.image_size, **config.options()).state_dict()
    head = {name for name in network if network[name].shape != wider[name].shape}
    head |= {name for name in network if name.startswith(NEW_HEADS.get(config.architecture, "\0"))}
    return fitted(network, modern(read_weights(path)), head, path, config.architecture)


def fitted(network: State, given: State, head: set[str], path: Path, architecture: str) -> State:
    """Return what of ``given`` goes into ``network``: all but the head must fit, the stem and positions once adapted.

    Raises:
        BadInput: a layer is missing or of another shape.
    """
    stem = next((name for name, tensor in network.items() if tensor.ndim == 4), "")
    found = {}
    for name, tensor in network.items():
        if name in given and name not in head:
            found[name] = adapted(given[name], tensor.shape, name == stem)
        elif name in given and given[name].shape == tensor.shape:
            found[name] = given[name]
        elif name not in head and not name.endswith("num_batches_tracked"):  # which early files do not have
            wrong = f"{path.name} is not of {architecture}, it has no {name!r}; give a file of that network"
            raise BadInput(wrong, key="space.weights")
    for name, tensor in found.items():
        if tensor.shape != network[name].shape:
            shapes = f"{tuple(tensor.shape)} and not {tuple(network[name].shape)}"
            wrong = f"{path.name} does not fit {architecture}, its {name!r} is {shapes}; give a file of that network and size"
            raise BadInput(wrong, key="space.weights")
    return found


def adapted(tensor: Tensor, shape: torch.Size, is_stem: bool) -> Tensor:
    """Return a stem's weight for other channels, or position embeddings for another grid; anything else as it is."""
    if is_stem and tensor.ndim == 4 and tensor.shape[1] != shape[1]:
        return spread(tensor, shape[1])
    if tensor.ndim == 3 and tensor.shape[0] == 1 and tensor.shape[::2] == shape[::2] and tensor.shape != shape:
        return resized_positions(tensor, shape[1])
    return tensor


def resized_positions(positions: Tensor, count: int) -> Tensor:
    """Interpolate embeddings (1, T, D) of a square grid to ``count`` tokens; a class token before the grid stays."""
    extra = positions.shape[1] - math.isqrt(positions.shape[1]) ** 2 and 1
    old, new = math.isqrt(positions.shape[1] - extra), math.isqrt(count - extra)
    grid = positions[:, extra:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (new, new), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :extra], grid.flatten(2).transpose(1, 2)], 1)


def modern(weights: State) -> State:
    """Return the weights under the names of a bare network of today.

    A model that this project wrote has the network beside its normalisation; torchvision's DenseNet has names with a dot
    where its layers lost it since.
    """
    if any(name.startswith("normalize.") for name in weights):
        prefix = "network."
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)", r"\1\2", name): tensor for name, tensor in weights.items()}


def read_weights(path: Path) -> State:
    """Read a state_dict that ``torch.save`` or safetensors wrote, without running anything that may be in it.

    Raises:
        BadInput: it is no such file.
    """
    try:
        safe = path.suffix == ".safetensors"
        weights = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # the boundary to a file that may be damaged, for which torch's reader raises all kinds
        wrong = "cannot be read as weights alone; write it with torch.save(network.state_dict(), path)"
        raise BadInput(wrong, key="space.weights", file=str(path)) from None
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        weights = weights["state_dict"]
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        wrong = "holds no state_dict; write it with torch.save(network.state_dict(), path)"
        raise BadInput(wrong, key="space.weights", file=str(path))
    return weights
