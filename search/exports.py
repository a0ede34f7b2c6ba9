"""The files that a model is handed out as, each with its size and its speed on this machine, compared on real rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.card import WEIGHTS, Card
from trainables.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from trainables.tasks.task import Task

COMPARED_ROWS = 256


@dataclass(frozen=True)
class Export:
    """One file of a model.

    Attributes:
        bytes: its size.
        latency_ms: by the number of images at a time, from float32 images in memory to the prediction, on the CPU.
        difference: the largest difference from PyTorch's predictions on real rows; of classes of pixels, the share of them.
        problem: why the file is not there, where it is not.
    """

    file: str
    bytes: int = 0
    latency_ms: dict[int, float] | None = None
    difference: float | None = None
    problem: str = ""


def export(folder: Path, model: nn.Module, task: Task, card: Card, pixels: np.ndarray) -> Iterator[Export]:
    """Write the model in ``folder`` as ONNX too, and yield what each file is worth.

    Args:
        pixels: uint8 images (n, channels, size, size) of real rows.
    """
    import torch

    from trainables.export import predict
    from trainables.latency import latencies
    from trainables.onnx_file import FILE, OnnxModel, Predicting, difference, write_onnx

    shape, network = (card.channels, card.size, card.size), Predicting(model, task)

    @torch.inference_mode()
    def call(images: np.ndarray) -> object:
        return network(torch.from_numpy(images))

    yield Export(WEIGHTS, (folder / WEIGHTS).stat().st_size, latencies(call, shape), 0.0)
    path = folder / FILE
    path.unlink(missing_ok=True)
    try:
        write_onnx(path, model, task, card)
        exported = OnnxModel(path)
    except BadInput as problem:
        yield Export(FILE, problem=problem.message)
        return
    off = difference(predict(model, task, pixels[:COMPARED_ROWS]), exported.predict(pixels[:COMPARED_ROWS]))
    yield Export(FILE, path.stat().st_size, latencies(exported, shape), off)
