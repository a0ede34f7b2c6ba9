"""How long a network takes for one image, measured on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from trainables.models import build

WARM_UP, RUNS = 3, 15
BATCHES = (1, 64)  # images at a time, for a model that is to be used
MOST_SECONDS = 1.0  # for the runs of one batch, of which there are two at least


def latency(architecture: str, channels: int, outputs: int, size: int, **options: Any) -> float:
    """Return the milliseconds from one image (1, channels, size, size) to its outputs, the median of `RUNS` runs.

    On the GPU if torch sees one, else on as many of the CPU's threads as torch takes; the image is there already.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build(architecture, channels=channels, outputs=outputs, size=size, **options).eval().to(device)
    image = torch.zeros(1, channels, size, size, device=device)
    return 1000 * statistics.median([seconds(model, image) for _ in range(WARM_UP + RUNS)][WARM_UP:])


@torch.inference_mode()
def seconds(model: torch.nn.Module, image: torch.Tensor) -> float:
    start = time.perf_counter()
    model(image).sum().item()  # which waits for the GPU
    return time.perf_counter() - start


def latencies(call: Callable[[np.ndarray], object], shape: tuple[int, int, int]) -> dict[int, float]:
    """Return for each of `BATCHES` the milliseconds of ``call`` on so many images of ``shape``, the median of some runs."""
    return {batch: round(latency_of(call, np.zeros((batch, *shape), np.float32)), 3) for batch in BATCHES}


def latency_of(call: Callable[[np.ndarray], object], images: np.ndarray) -> float:
    call(images)
    began, times = time.perf_counter(), []
    while len(times) < 2 or (len(times) < RUNS and time.perf_counter() - began < MOST_SECONDS):
        start = time.perf_counter()
        call(images)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)
