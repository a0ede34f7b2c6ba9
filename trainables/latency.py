"""How long a network takes for one image, measured on this machine."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from trainables.models import build

WARM_UP, RUNS = 3, 15


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
