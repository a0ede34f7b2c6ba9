"""The images of a search on the device that trains: moved there once a process, kept for every later trial."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.data.arrays import Images, TrialData

CHUNK = 2**22  # values turned into whole numbers at a time while summing


@dataclass(frozen=True)
class DeviceImages:
    """Pixels uint8 (n, channels, size, size) and labels int64 (n) on one device."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, rows: int) -> DeviceImages:
        """Return the first ``rows`` of them, without a copy."""
        return DeviceImages(self.pixels[:rows], self.labels[:rows])


@dataclass(frozen=True)
class DeviceData:
    """The training pool and the validation rows of one `TrialData` on one device."""

    pool: DeviceImages
    val: DeviceImages


_kept: dict[tuple[str, str], DeviceData] = {}
_moments: dict[tuple[str, int], tuple[list[float], list[float]]] = {}


def on_device(data: TrialData, device: torch.device) -> DeviceData:
    """Return ``data`` on ``device``, from the copy already there if an earlier trial made one.

    On the CPU the tensors share the memory of the arrays, which must not be written to.
    """
    place = (data.key, str(device))
    if place not in _kept:
        _kept[place] = DeviceData(to_device(data.pool, device), to_device(data.val, device))
    return _kept[place]


def to_device(images: Images, device: torch.device) -> DeviceImages:
    return DeviceImages(shared(images.pixels).to(device), shared(images.labels).to(device))


def shared(array: np.ndarray) -> Tensor:
    """Return a tensor over the memory of ``array``, which may be read-only: nothing here writes to images."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def moments(data: TrialData, rows: int, device: torch.device) -> tuple[list[float], list[float]]:
    """Return mean and deviation a channel of the first ``rows`` of the pool, on the scale 0..1.

    Both are exact sums of whole numbers, so that they do not depend on device or order. A channel without any
    variation is given the deviation 1.
    """
    if (data.key, rows) not in _moments:
        _moments[data.key, rows] = pixel_moments(on_device(data, device).pool.pixels[:rows])
    return _moments[data.key, rows]


def pixel_moments(pixels: Tensor) -> tuple[list[float], list[float]]:
    total = torch.zeros(2, pixels.shape[1], dtype=torch.int64, device=pixels.device)
    for part in pixels.split(max(1, CHUNK // pixels[0].numel())):
        values = part.int()
        total += torch.stack([values.sum((0, 2, 3)), values.square_().sum((0, 2, 3))])
    mean, square = (total.double() / (255 * (pixels.numel() // pixels.shape[1]))).tolist()
    deviation = [max(0.0, s / 255 - m * m) ** 0.5 for m, s in zip(mean, square, strict=True)]
    return mean, [value or 1.0 for value in deviation]


def forget() -> None:
    """Let go of every copy, for a process that turns to other data."""
    _kept.clear()
    _moments.clear()
