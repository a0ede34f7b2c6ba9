"""What a network costs, exactly, from its shapes alone: parameters, multiply-accumulates and memory.

Building a network needs torch, which takes seconds to import; the common sizes are therefore answered from
``models/costs.json``. Write that file again with ``python -m trainables.cost`` where a network changed.
"""

from __future__ import annotations

import functools
import inspect
import json
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from trainables.config import MOMENTUM, TrialConfig
from trainables.errors import BadInput
from trainables.models import KEY, MAPS, MODELS, OPTIONS, builder, options_of

DECIDING = ("architecture", "image_size", "batch_size", "optimizer", "momentum", *OPTIONS)  # what of a trial its cost goes by
MEMO = Path(__file__).parent / "models" / "costs.json"
SIZES = sorted({*range(16, 513, 8), 28, 300})
CHANNELS = (1, 3)
COSTS = {
    "params_m": "millions of parameters",
    "macs_g": "billions of multiply-accumulates for an image, as thop counts them",
    "flops_g": "twice macs_g",
    "memory_mb": "megabytes (10^6) that a training step in fp32 needs, by `Cost.memory`",
}
STATES = {"sgd": 0, "adam": 2, "adamw": 2, "rmsprop": 1, "adagrad": 1}  # numbers an optimizer keeps for each parameter


@dataclass(frozen=True)
class Cost:
    """What a network costs for one image.

    ``macs`` are the multiply-accumulates in convolutions and matrix products, without those inside torch's
    ``MultiheadAttention``, which are ``attention_macs``; ``thop_macs`` is the count of most published tables, which adds
    normalisation and average pooling. ``activation_bytes`` is what training in fp32 keeps of an image until its backward
    pass. `trainables.models.count` says how each is counted.
    """

    params: int
    macs: int
    thop_macs: int
    activation_bytes: int
    attention_macs: int = 0

    def memory(self, batch_size: int, optimizer: str = "adam", momentum: float = 0.9) -> int:
        """Return the bytes that a training step in fp32 needs at its peak, the images themselves not counted.

        4 · params · (2 + k) + batch_size · activation_bytes: weights, their gradients and the k numbers that the
        optimizer keeps for each, and the activations, all there when the backward pass begins. Under bf16 the
        activations take little more than half. Workspaces of the libraries come on top.
        """
        states = STATES[optimizer] + (optimizer in MOMENTUM and momentum > 0)
        return 4 * self.params * (2 + states) + batch_size * self.activation_bytes

    def figures(self, memory: int) -> dict[str, float]:
        """Return the cost under the names of `COSTS`, for a training step of ``memory`` bytes."""
        macs = self.thop_macs / 1e9
        return {"params_m": self.params / 1e6, "macs_g": macs, "flops_g": 2 * macs, "memory_mb": memory / 1e6}


def cost(architecture: str, channels: int, outputs: int, size: int, *, maps: bool | None = None, **options: Any) -> Cost:
    """Return the `Cost` of a network for images (channels, size, size).

    Args:
        maps: whether the task needs a map (N, outputs, size, size) or numbers (N, outputs); None takes either.
        options: those of `trainables.models.OPTIONS` that a trial sets.

    Raises:
        BadInput: the images do not fit the network (it names the smallest size that works), the network does not fit
            the task, or a user's own network does not work.
    """
    if architecture not in MODELS:
        return own_cost(architecture, channels, outputs, size, maps, **options)
    check_size(architecture, size)
    check_maps(architecture, architecture in MAPS, maps)
    known = memo()[architecture]
    usual = all(options.get(name, value) == value for name, value in known.get("options", {}).items())
    terms = known[str(channels)].get(str(size)) if usual and str(channels) in known else None
    terms = terms or affine(architecture, channels, size, **options)
    return Cost(*(fixed + each * outputs for fixed, each in zip(terms[::2], terms[1::2], strict=True)))


def figures(config: TrialConfig, channels: int, outputs: int, maps: bool | None = None) -> dict[str, float]:
    """Return what a trial of ``config`` costs, under the names of `COSTS`."""
    found = cost(config.architecture, channels, outputs, config.image_size, maps=maps, **config.options())
    return found.figures(found.memory(config.batch_size, config.optimizer, config.momentum))


def check_size(architecture: str, size: int) -> None:
    """Raise `BadInput` where ``size`` does not go through a built-in network."""
    known = memo()[architecture]
    if size < known["smallest"]:
        wrong = f"{size} is too small for {architecture}; give {known['smallest']} or more"
        raise BadInput(wrong, key="space.image_size")
    if over := size % known.get("multiple", 1):
        near = f"{size - over} or {size - over + known['multiple']}"
        wrong = f"{size} is not a multiple of {known['multiple']}, as {architecture} needs; give {near}"
        raise BadInput(wrong, key="space.image_size")


def check_maps(architecture: str, gives: bool, wanted: bool | None) -> None:
    """Raise `BadInput` where the task needs numbers and the network gives a map, or the other way round."""
    if wanted is None or gives == wanted:
        return
    kinds = ("numbers for each image", "a map for each image")
    wrong = f"{architecture} gives {kinds[gives]}, and the task needs {kinds[wanted]}; choose another architecture"
    raise BadInput(wrong, key=KEY)


def options_taken(architecture: str) -> tuple[str, ...]:
    """Return which of `trainables.models.OPTIONS` reach a network."""
    if architecture in MODELS:
        return tuple(memo()[architecture].get("options", ()))
    taken = options_of(builder(architecture))
    return tuple(name for name in OPTIONS if name in taken)


@functools.cache
def memo() -> dict:
    return json.loads(MEMO.read_text(encoding="utf-8"))


@functools.cache  # for the later trials of a process
def affine(architecture: str, channels: int, size: int, **options: Any) -> list[int]:
    """Return the fields of `Cost`, each as what is fixed and what every output adds: they are affine in the outputs.

    They are affine in the number of equal blocks, too, and few of these are quicker to count.
    """
    blocks = options.get("depth", 1)
    if blocks > 2 and "depth" in options_taken(architecture):
        few = (affine(architecture, channels, size, **{**options, "depth": depth}) for depth in (1, 2))
        return [first + (blocks - 1) * (second - first) for first, second in zip(*few, strict=True)]
    one, two = (astuple(count(architecture, channels, outputs, size, **options)) for outputs in (1, 2))
    terms = [term for first, second in zip(one, two, strict=True) for term in (2 * first - second, second - first)]
    return terms[:-2] if terms[-2:] == [0, 0] else terms


def count(architecture: str, channels: int, outputs: int, size: int, **options: Any) -> Cost:
    """Count a network by running its shapes on torch's meta device."""
    from trainables.models import count as counting

    network = counting.network_of(architecture, channels, outputs, size, **options)
    macs, attention, attends = counting.macs(network, channels, size)
    return Cost(
        params=sum(parameter.numel() for parameter in network.parameters()),
        macs=macs,
        thop_macs=counting.thop_macs(network, channels, size),
        activation_bytes=counting.activation_bytes(network, channels, size, attends),
        attention_macs=attention,
    )


@functools.cache
def own_cost(architecture: str, channels: int, outputs: int, size: int, maps: bool | None, **options: Any) -> Cost:
    """Check a user's own network by its shapes, and count it."""
    from trainables.models import count as counting

    network = counting.network_of(architecture, channels, outputs, size, **options)
    shape = counting.output_shape(network, architecture, channels, outputs, size)
    check_maps(architecture, len(shape) == 4, maps)
    with counting.blaming(architecture, channels, size):
        return count(architecture, channels, outputs, size, **options)


def trains(architecture: str, channels: int, size: int, batch: int, **options: Any) -> bool:
    """Tell whether a batch of this shape goes through the network while it trains."""
    import torch

    from trainables.models import count as counting

    try:
        network = counting.network_of(architecture, channels, 2, size, **options).train()
        network(torch.empty(batch, channels, size, size, device="meta"))
    except (RuntimeError, ValueError, AssertionError):  # those that torch's layers raise for a shape
        return False
    return True


def smallest_size(architecture: str) -> int:
    """Return the smallest side, of those a trial may ask for, that goes through the network."""
    return next(size for size in range(8, 1025) if trains(architecture, 3, size, batch=2))


def size_rules(architecture: str) -> dict[str, int]:
    """Return which sides a built-in network takes: from ``smallest`` on, and of a ``multiple`` where not every one."""
    smallest = smallest_size(architecture)
    following = next(size for size in range(smallest + 1, 1025) if trains(architecture, 3, size, batch=2))
    return {"smallest": smallest} | ({"multiple": following - smallest} if following > smallest + 1 else {})


def memo_entry(architecture: str) -> dict[str, Any]:
    """Return what the memo says of one network: its sizes, the options it was counted with, and the terms of `affine`."""
    function = builder(architecture)
    parameters = inspect.signature(function).parameters
    options = {name: parameters[name].default for name in OPTIONS if name in options_of(function)}
    rules = size_rules(architecture)
    sizes = [size for size in SIZES if size >= rules["smallest"] and size % rules.get("multiple", 1) == 0]
    terms = {str(channels): {str(size): affine(architecture, channels, size) for size in sizes} for channels in CHANNELS}
    return {**rules, **({"options": options} if options else {}), **terms}


def write_memo() -> None:
    """Write ``models/costs.json``, a line for each network and number of channels."""
    entries = []
    for architecture in MODELS:
        entry = memo_entry(architecture).items()
        lines = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in entry)
        entries.append(f'"{architecture}": {{\n  ' + ",\n  ".join(lines) + "\n}")
    MEMO.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write_memo()
