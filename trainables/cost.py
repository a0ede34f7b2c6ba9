"""What a network costs, exactly, from its shapes alone: nothing is allocated and nothing is computed.

Building a network needs torch, which takes seconds to import; the common sizes are therefore answered from
``models/costs.json``. Write that file again with ``python -m trainables.cost`` where a network changed.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from trainables.errors import BadInput
from trainables.models import MODELS, build

MEMO = Path(__file__).parent / "models" / "costs.json"
SIZES = sorted({*range(16, 513, 8), 28, 300})
CHANNELS = (1, 3)


@dataclass(frozen=True)
class Cost:
    """Trained numbers, and multiply-accumulates of one image in convolutions and matrix products."""

    params: int
    macs: int


def cost(architecture: str, channels: int, outputs: int, size: int) -> Cost:
    """Return the `Cost` of a network for images (channels, size, size).

    Raises:
        BadInput: the images are too small for the network; it names the smallest size that works.
    """
    known = memo()[architecture]
    if size < known["smallest"]:
        raise BadInput(
            f"{size} is too small for {architecture}; give {known['smallest']} or more", key="space.image_size"
        )
    terms = known[str(channels)].get(str(size)) if str(channels) in known else None
    params, params_each, macs, macs_each = terms or affine(architecture, channels, size)
    return Cost(params + params_each * outputs, macs + macs_each * outputs)


@functools.cache
def memo() -> dict:
    return json.loads(MEMO.read_text(encoding="utf-8"))


def affine(architecture: str, channels: int, size: int) -> list[int]:
    """Return ``[params, params an output, macs, macs an output]``: both counts are affine in the outputs."""
    one, two = (count(architecture, channels, outputs, size) for outputs in (1, 2))
    params, macs = two.params - one.params, two.macs - one.macs
    return [one.params - params, params, one.macs - macs, macs]


def count(architecture: str, channels: int, outputs: int, size: int) -> Cost:
    """Count a network by running its shapes on torch's meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = build(architecture, channels=channels, outputs=outputs, size=size).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.empty(1, channels, size, size))
    params = sum(parameter.numel() for parameter in network.parameters())
    return Cost(params, counter.get_total_flops() // 2)


def trains(architecture: str, channels: int, size: int, batch: int) -> bool:
    """Tell whether a batch of this shape goes through the network while it trains."""
    import torch

    try:
        with torch.device("meta"):
            network = build(architecture, channels=channels, outputs=2, size=size).train()
            network(torch.empty(batch, channels, size, size))
    except (RuntimeError, ValueError):  # the two that torch's layers raise for a shape
        return False
    return True


def smallest_size(architecture: str) -> int:
    """Return the smallest side, of those a trial may ask for, that goes through the network."""
    return next(size for size in range(8, 1025) if trains(architecture, 3, size, batch=2))


def write_memo() -> None:
    """Write ``models/costs.json``, a line for each network and number of channels."""
    entries = []
    for architecture in MODELS:
        smallest = smallest_size(architecture)
        lines = [f'"smallest": {smallest}']
        for channels in CHANNELS:
            sizes = {str(size): affine(architecture, channels, size) for size in SIZES if size >= smallest}
            lines.append(f'"{channels}": {json.dumps(sizes)}')
        entries.append(f'"{architecture}": {{\n  ' + ",\n  ".join(lines) + "\n}")
    MEMO.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write_memo()
