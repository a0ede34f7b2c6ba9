"""The pixels that trials are given: plain numpy, so that Ray's object store hands them out without a copy."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainables.tasks import Target


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images: ``pixels`` uint8 (n, channels, size, size) and their ``targets`` (n, ...).

    A target is what the task says: an int64 class.

    Pixels may be a whole mapped ``.npy`` file; another process is then given its name, not its content.
    """

    pixels: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.targets)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.pixels, np.memmap) and isinstance(self.pixels.base, mmap.mmap):
            return mapped_images, (self.pixels.filename, self.targets)
        return Images, (self.pixels, self.targets)


def mapped_images(path: str, targets: np.ndarray) -> Images:
    """Return images whose pixels stay in the ``.npy`` file at ``path``."""
    return Images(np.load(path, mmap_mode="r"), targets)


@dataclass(frozen=True, eq=False)
class TrialData:
    """All that a trial may see: the training pool and the common validation rows, never the sealed ones.

    Every prefix of ``pool`` is stratified, so that a share of it is the slice ``pool[:n]``. ``key`` names this
    data (fingerprint, split and size): whoever keeps a copy on a device keeps it under that key.
    """

    pool: Images
    val: Images
    target: Target
    size: int
    channels: int
    key: str
