"""Weights of classes for a training loss, from how often each occurs."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.cache import DeviceImages
from trainables.data.stream import HostImages
from trainables.tasks import IGNORED

CHUNK = 2**24  # targets counted at a time


def class_weights(config: TrialConfig, pool: DeviceImages | HostImages | None, classes: int) -> Tensor | None:
    """Return the weights (classes) that ``config`` asks for, on the device of ``pool``; None for equal ones.

    ``balanced`` is n / (classes · n_c) for a class that n_c of the pool's n targets show (King and Zeng, Logistic
    Regression in Rare Events Data, 2001): all classes then weigh the same in sum.
    """
    if config.class_weights == "none" or pool is None:
        return None
    counts = torch.zeros(IGNORED + 1 if pool.targets.dtype == torch.uint8 else classes, dtype=torch.int64)
    for part in pool.targets.flatten().split(CHUNK):
        counts += torch.bincount(part, minlength=len(counts)).cpu()
    counts = counts[:classes].clamp(min=1).float()
    return (counts.sum() / (classes * counts)).to(pool.device)
