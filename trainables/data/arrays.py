"""The pixels that trials are given: plain numpy, so that Ray's object store hands them out without a copy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images: ``pixels`` uint8 (n, channels, size, size) and their ``labels`` int64 (n,)."""

    pixels: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class TrialData:
    """All that a trial may see: the training pool and the common validation rows, never the sealed ones.

    Every prefix of ``pool`` is stratified, so that a share of it is the slice ``pool[:n]``. ``key`` names this
    data (fingerprint, split and size): whoever keeps a copy on a device keeps it under that key.
    """

    pool: Images
    val: Images
    classes: tuple[str, ...]
    size: int
    channels: int
    key: str
