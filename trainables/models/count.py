"""Counting a network by running its shapes on torch's meta device: nothing is allocated and nothing is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AvgPoolNd
from torch.utils.flop_counter import FlopCounterMode

from trainables import own
from trainables.errors import BadInput
from trainables.models import KEY, MODELS, build


def network_of(architecture: str, channels: int, outputs: int, size: int, **options: Any) -> nn.Module:
    """Build a network on the meta device, in evaluation mode.

    A user's own is built on the CPU first, since its code may look at numbers, and leaves torch's generator alone.
    """
    if architecture in MODELS:
        with torch.device("meta"):
            return build(architecture, channels=channels, outputs=outputs, size=size, **options).eval()
    with torch.random.fork_rng([]), blaming(architecture, channels, size):
        network = build(architecture, channels=channels, outputs=outputs, size=size, **options)
        if not isinstance(network, nn.Module):
            what = f"{architecture} returns {type(network).__name__}, not a torch.nn.Module; return the network"
            raise BadInput(what, key=KEY)
        return network.to("meta").eval()


@contextmanager
def blaming(architecture: str, channels: int, size: int) -> Iterator[None]:
    """Turn whatever a user's own network raises into `BadInput`; leave errors of the built-in ones alone."""
    try:
        yield
    except BadInput:
        raise
    except Exception as problem:  # the boundary to foreign code, which may raise anything
        if architecture in MODELS:
            raise
        what = f"{architecture} fails for images of {channels}x{size}x{size}: {own.blame(problem)}; mend it"
        raise BadInput(what, key=KEY) from None


def output_shape(network: nn.Module, architecture: str, channels: int, outputs: int, size: int) -> tuple[int, ...]:
    """Return the shape of the output for two images.

    Raises:
        BadInput: a user's own network fails, or gives anything but (N, outputs) or (N, outputs, size, size).
    """
    with torch.no_grad(), blaming(architecture, channels, size):
        found = network(torch.empty(2, channels, size, size, device="meta"))
    shape = tuple(getattr(found, "shape", ())) or (type(found).__name__,)
    if shape not in ((2, outputs), (2, outputs, size, size)):
        what = f"{architecture} gives {shape} for 2 images and {outputs} outputs, not {(2, outputs)}; mend its last layer"
        raise BadInput(what, key=KEY)
    return shape


def macs(network: nn.Module, channels: int, size: int) -> tuple[int, int, bool]:
    """Return the multiply-accumulates of one image: in convolutions and matrix products, and within attention.

    The second are those of torch's ``MultiheadAttention``, which the first leave out, as published counts do: it runs as
    one fused operation, which ``torch.utils.flop_counter`` does not know. (6.3 G beside the 11.3 G of vit_b_16.) The third
    value tells whether there are batched products, and so perhaps attention.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, channels, size, size, device="meta"))
    found, root = counter.get_flop_counts(), type(network).__name__
    attention = sum(
        sum(found[f"{root}.{name}"].values())
        for name, part in network.named_modules()
        if isinstance(part, nn.MultiheadAttention)
    )
    return (counter.get_total_flops() - attention) // 2, attention // 2, torch.ops.aten.bmm in found["Global"]


def thop_macs(network: nn.Module, channels: int, size: int) -> int:
    """Return the operations of one image as the ``thop`` package counts them, which is what most tables print.

    By layer: convolutions and linears their multiply-accumulates; batch and layer norm 4 for each number; an average pool
    1 for each output; an adaptive average pool, for each output, 1 more than the numbers it averages. Everything else,
    and whatever is called as a function and not as a layer, counts nothing.
    """
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], found: Tensor) -> None:
        nonlocal total
        total += operations(layer, inputs[0], found)

    counted = (_ConvNd, nn.Linear, _BatchNorm, nn.LayerNorm, _AvgPoolNd, _AdaptiveAvgPoolNd)
    hooks = [layer.register_forward_hook(add) for layer in network.modules() if isinstance(layer, counted)]
    with torch.no_grad():
        network(torch.empty(1, channels, size, size, device="meta"))
    for hook in hooks:
        hook.remove()
    return total


def operations(layer: nn.Module, given: Tensor, found: Tensor) -> int:
    """Return what `thop_macs` adds for one call of ``layer``."""
    match layer:
        case _ConvNd():
            return found.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size)
        case nn.Linear():
            return found.numel() * layer.in_features
        case _AvgPoolNd():
            return found.numel()
        case _AdaptiveAvgPoolNd():
            averaged = math.prod(a // b for a, b in zip(given.shape[2:], found.shape[2:], strict=True))
            return found.numel() * (averaged + 1)
    return 4 * given.numel()


def activation_bytes(network: nn.Module, channels: int, size: int, attends: bool) -> int:
    """Return the bytes that training in fp32 holds for each image at the end of the forward pass.

    They are the tensors that autograd saves for the backward pass, each counted once, without weights and statistics;
    and the output twice more, which the loss and its gradient add.

    Args:
        attends: where there may be attention, the shapes run as fake CPU tensors, for which torch takes the fused kernel
            as it will in training; the meta device would keep every attention matrix.
    """
    network = network.train()
    if attends:
        with FakeTensorMode(allow_non_fake_inputs=True):
            network = network.to_empty(device="cpu")
            saved, output = saved_bytes(network, torch.empty(2, channels, size, size))
    else:
        saved, output = saved_bytes(network, torch.empty(2, channels, size, size, device="meta"))
    return (saved + 2 * output) // 2


def saved_bytes(network: nn.Module, images: Tensor) -> tuple[int, int]:
    """Return the bytes that autograd saves when ``images`` go through the network, and those of the output."""
    state = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    found = {}

    def keep(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        found[memory._cdata] = memory  # held, so that its address is not used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(images)
    held = sum(memory.nbytes() for address, memory in found.items() if address not in state)
    return held, output.numel() * output.element_size()
