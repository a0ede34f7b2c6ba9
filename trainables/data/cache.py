"""The images of a search on the device that trains: moved there once a process, kept for every later trial."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.data.arrays import Images, TrialData
from trainables.data.residence import DEVICE_SHARE, Residence, residence
from trainables.data.stream import HostImages, batches

CHUNK = 2**22  # values turned into whole numbers at a time while summing


@dataclass(frozen=True, eq=False)
class DeviceImages:
    """Pixels uint8 (n, channels, size, size) and targets (n, ...) on one device."""

    pixels: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    def shuffled(self, rows: int, size: int) -> Iterator[tuple[Tensor]]:
        """Yield the row numbers of the first ``rows`` images in random order, ``size`` at a time."""
        return ((part,) for part in batches(rows, size, self.device))

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pixels and targets of all images as they stand, ``size`` at a time, without a copy."""
        return zip(self.pixels.split(size), self.targets.split(size), strict=True)

    def look_up(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels and targets of a batch that `shuffled` yielded."""
        return self.pixels.index_select(0, rows), self.targets.index_select(0, rows)

    def example(self, size: int) -> tuple[Tensor]:
        """Return a batch of the form that `shuffled` yields."""
        return (torch.arange(size, device=self.device),)


@dataclass(frozen=True)
class DeviceData:
    """The training pool and the validation rows of one `TrialData`, ready for one device."""

    pool: DeviceImages | HostImages
    val: DeviceImages | HostImages


_kept: dict[tuple[str, str], DeviceData] = {}
_moments: dict[tuple[str, int], tuple[list[float], list[float]]] = {}


def on_device(data: TrialData, device: torch.device, limit: int | None = None) -> DeviceData:
    """Return ``data`` for ``device``, from the copy that an earlier trial made if there is one.

    Images beyond ``limit`` bytes, by default a share of the device's memory, stay in host memory and are copied as
    they are used. On the CPU the tensors share the memory of the arrays, which must not be written to.
    """
    place = (data.key, str(device))
    if place not in _kept:
        limit = device_limit(device) if limit is None else limit
        size = data.pool.nbytes + data.val.nbytes
        fits = limit is None or residence(size, host=size, device=limit) is Residence.DEVICE
        move = to_device if fits else stay
        _kept[place] = DeviceData(move(data.pool, device), move(data.val, device))
    return _kept[place]


def device_limit(device: torch.device) -> int | None:
    """Return how many bytes of pixels may be on ``device``; None for the CPU, where they are anyway."""
    if device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(device).total_memory
    return int(DEVICE_SHARE * total * torch.cuda.get_per_process_memory_fraction(device))


def to_device(images: Images, device: torch.device) -> DeviceImages:
    return DeviceImages(shared(images.pixels).to(device), shared(images.targets).to(device))


def stay(images: Images, device: torch.device) -> HostImages:
    return HostImages(shared(images.pixels), shared(images.targets), device)


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
