"""The pixels that trials are given: plain numpy, so that Ray's object store hands them out without a copy."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainables.tasks import Target


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images: ``pixels`` uint8 (n, channels, size, size) and their ``targets`` (n, ...).

    A target is a class int64 (n,), points float32 (n, K, 2), NaN where one is missing, or a mask uint8 (n, size, size).

    Each may be a whole mapped ``.npy`` file; another process is then given its name, not its content.
    """

    pixels: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + self.targets.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return read_images, (by_name(self.pixels), by_name(self.targets))


def by_name(array: np.ndarray) -> np.ndarray | str:
    """Return the path of an array that is a whole mapped file, else the array."""
    whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)
    return str(array.filename) if whole else array


def read_images(*arrays: np.ndarray | str) -> Images:
    """Return images whose pixels or targets stay in the ``.npy`` file that is named."""
    return Images(*(np.load(array, mmap_mode="r", allow_pickle=False) if isinstance(array, str) else array for array in arrays))


def open_mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Map the 8-bit pixels of ``shape`` in a ``.npy`` file; None where there are none, or something else stands there."""
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return pixels if (pixels.shape, pixels.dtype) == (shape, np.uint8) else None


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
