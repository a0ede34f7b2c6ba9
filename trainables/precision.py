"""Which number format a network trains in on a device, as it was measured."""

from __future__ import annotations

import torch
from torch import nn


def autocast(precision: str, device: torch.device, model: nn.Module) -> torch.autocast:
    """Return the context in which ``model`` runs: bf16 arithmetic on fp32 weights, or plain fp32.

    ``auto`` is bf16 where the processor multiplies it natively, 1.5 to 1.8 times as fast as fp32 there; but not for
    grouped convolutions (MobileNet, ShuffleNet) on a CPU, which make the whole step twice as slow as in fp32.
    """
    slow = device.type == "cpu" and any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in model.modules())
    bf16 = precision == "bf16" or (precision == "auto" and has_bf16(device) and not slow)
    # Each weight is used once a step: a cache of those already cast gains nothing, and a CUDA graph must not see one.
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=False)


def has_bf16(device: torch.device) -> bool:
    """Tell whether the device multiplies bf16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    abilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return abilities.get("avx512_bf16", False) or abilities.get("amx_bf16", False)
