"""A trained network rebuilt from its two files, and asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainables.card import PUT_BACK, WEIGHTS, Card, read_files
from trainables.config import TrialConfig
from trainables.data.arrays import Images
from trainables.errors import BadInput
from trainables.models import KEY, MODELS, OPTIONS
from trainables.models.normalize import network
from trainables.tasks.task import Task, make_task

BATCH_PIXELS = 2**20  # images that go through a network at once: 256 of 64 × 64


def read_model(folder: Path) -> tuple[nn.Module, Card]:
    """Rebuild the network in ``folder``, in evaluation mode on the CPU.

    Raises:
        BadInput: a file is missing or damaged; names it.
    """
    card = read_files(folder)
    return rebuild(card, folder / WEIGHTS), card


def rebuild(card: Card, path: Path) -> nn.Module:
    """Build the network of ``card``, in evaluation mode on the CPU, with the weights in the safetensors file ``path``.

    Raises:
        BadInput: the weights are of another network, and names the file; or a network of the user's own cannot be built.
    """
    try:
        model = built(card)
        model.load_state_dict(load_file(path), assign=True)
    except (SafetensorError, RuntimeError):
        raise BadInput(f"the weights are not those of the network in model.json; {PUT_BACK}", file=str(path)) from None
    if broken := [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]:
        raise BadInput(f"the weights {broken[0]!r} are not finite; train the model again", file=str(path))
    return model.eval()


def built(card: Card) -> nn.Module:
    """Build the network of ``card``, without its weights; `BadInput` for one of the user's own that cannot be built."""
    # On "meta" it takes no memory: no more than the file holds, whatever the card says.
    with torch.device("meta") if card.architecture in MODELS else blamed(card):
        model = network(
            card.architecture, channels=card.channels, outputs=card.target.outputs, size=card.size, dropout=card.dropout,
            **{name: card.config[name] for name in OPTIONS if name in card.config},
        )
    if model.network is None:  # which torch takes for a layer
        raise BadInput(f"{card.architecture} returns None, not a torch.nn.Module; return the network", key=KEY)
    return model


def blamed(card: Card) -> AbstractContextManager[None]:
    """Turn what a network of the user's own raises into `BadInput`."""
    if card.architecture in MODELS:
        return nullcontext()
    from trainables.models.count import blaming  # whose import takes longer than that of all else here

    return blaming(card.architecture, card.channels, card.size)


def task_of(card: Card) -> Task:
    """Return the task that reads the outputs of the network of ``card``."""
    return make_task(card.target, TrialConfig(**card.config))


@torch.inference_mode()
def predict(model: nn.Module, task: Task, pixels: np.ndarray) -> np.ndarray:
    """Return what `Task.predict` makes of uint8 images (n, channels, size, size)."""
    found = [task.predict(model(batch.float() / 255)) for batch in in_parts(pixels)]
    return torch.cat(found).numpy()


@torch.inference_mode()
def measure_rows(model: nn.Module, task: Task, images: Images) -> np.ndarray:
    """Return what each image adds to the sums that the task's scores are made from, float64 (n, sums)."""
    rows = []
    for pixels, targets in zip(in_parts(images.pixels), in_parts(images.targets, images.pixels), strict=True):
        outputs = model(pixels.float() / 255)
        rows += [task.measure(*row) for row in zip(outputs.split(1), targets.split(1), strict=True)]
    return torch.stack(rows).numpy()


def in_parts(array: np.ndarray, pixels: np.ndarray | None = None) -> Sequence[Tensor]:
    """Split an array (n, ...) into as many rows at a time as go through a network together, by their ``pixels``."""
    size = (array if pixels is None else pixels).shape[-1]
    return torch.from_numpy(array).split(max(1, BATCH_PIXELS // size**2))


class Served:
    """What MLflow calls: float32 images (n, channels, size, size) in 0..1 to what the task's `predict` returns.

    In classification that are class probabilities (n, classes).
    """

    def __init__(self, folder: Path):
        self.model, self.card = read_model(folder)
        self.task = task_of(self.card)

    @torch.inference_mode()
    def predict(self, images: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        return self.task.predict(self.model(torch.as_tensor(np.asarray(images, np.float32)))).numpy()


def _load_pyfunc(path: str) -> Served:
    """Entry point by which MLflow loads the logged folder: this module's code and two plain files, no pickle."""
    return Served(Path(path))
