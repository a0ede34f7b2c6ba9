"""A trained network as two files that need no pickle: `model.safetensors` beside `model.json`, which rebuilds it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

import trainables
from trainables.errors import BadInput
from trainables.models import MODELS, OPTIONS, own
from trainables.models.normalize import network

WEIGHTS, CARD = "model.safetensors", "model.json"
FORMAT = 1


@dataclass(frozen=True)
class Card:
    """Everything that rebuilds a network and feeds it: what it is, its classes and how an image is prepared.

    An image is decoded, made grey (1 channel) or RGB (3), resized to ``size`` × ``size`` bilinearly with antialiasing
    and scaled to 0..1; the network normalises it itself. ``architecture`` may be ``module:function`` of the user's own
    code, which must then be importable; ``config`` is the whole configuration that it was trained with.
    """

    architecture: str
    channels: int
    size: int
    classes: tuple[str, ...]
    dropout: float
    config: dict[str, Any]
    task: str = "classification"
    sha256: str = ""
    format: int = FORMAT


def write_model(folder: Path, weights: Path, card: Card) -> None:
    """Write ``weights`` (a safetensors file) and ``card`` to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = weights.read_bytes()
    (folder / WEIGHTS).write_bytes(content)
    card = dataclasses.replace(card, sha256=hashlib.sha256(content).hexdigest())
    (folder / CARD).write_text(json.dumps(dataclasses.asdict(card), indent=2) + "\n")


def read_model(folder: Path) -> tuple[nn.Module, Card]:
    """Rebuild the network in ``folder``, in evaluation mode on the CPU.

    Raises:
        BadInput: a file is missing or damaged; names it.
    """
    card = read_card(folder / CARD)
    path = folder / WEIGHTS
    if not path.is_file():
        raise BadInput("there are no weights; export the model again", file=str(path))
    if hashlib.sha256(path.read_bytes()).hexdigest() != card.sha256:
        raise BadInput("the weights are not those that were written, by their sha256; export the model again", file=str(path))
    model = network(
        card.architecture, channels=card.channels, outputs=len(card.classes), size=card.size, dropout=card.dropout,
        **{name: card.config[name] for name in OPTIONS if name in card.config},
    )
    model.load_state_dict(load_file(path))
    return model.eval(), card


def read_card(path: Path) -> Card:
    try:
        card = json.loads(path.read_text())
        known = {field.name for field in dataclasses.fields(Card)}
        return Card(**{**{key: card[key] for key in known}, "classes": tuple(card["classes"])})
    except FileNotFoundError:
        raise BadInput("there is no model; run a search first", file=str(path)) from None
    except (KeyError, TypeError, ValueError):
        raise BadInput("not a model description of this version; export the model again", file=str(path)) from None


def code(folder: Path) -> list[str]:
    """Return the files and folders of code that `read_model` needs: this package, and a network of the user's own."""
    architecture = read_card(folder / CARD).architecture
    return [str(Path(trainables.__file__).parent), *([] if architecture in MODELS else [str(own.source(architecture))])]


@torch.inference_mode()
def probabilities(model: nn.Module, pixels: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return the class probabilities (n, classes) float32 of uint8 images (n, channels, size, size)."""
    batches = (torch.from_numpy(pixels[start : start + batch_size]) for start in range(0, len(pixels), batch_size))
    found = [model(batch.float() / 255).softmax(1) for batch in batches]
    return torch.cat(found).numpy() if found else np.empty((0, 0), np.float32)


class Served:
    """What MLflow calls: float32 images (n, channels, size, size) in 0..1 to class probabilities (n, classes)."""

    def __init__(self, folder: Path):
        self.model, self.card = read_model(folder)

    @torch.inference_mode()
    def predict(self, images: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        return self.model(torch.as_tensor(np.asarray(images, np.float32))).softmax(1).numpy()


def _load_pyfunc(path: str) -> Served:
    """Entry point by which MLflow loads the logged folder: this module's code and two plain files, no pickle."""
    return Served(Path(path))
