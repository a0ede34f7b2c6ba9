"""A trained network as two files that need no pickle: `model.safetensors` beside `model.json`, which rebuilds it.

They are written, read and checked without torch, so that a damaged one is told at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainables
from trainables import own
from trainables.config import TrialConfig
from trainables.errors import BadInput
from trainables.files import digest, whole, write_text_whole
from trainables.models import KEY, MODELS
from trainables.tasks import Target, read_target

WEIGHTS, CARD = "model.safetensors", "model.json"
FORMAT = 2
PUT_BACK = "put back a copy, such as the registered one"  # no command makes a model's files again


@dataclass(frozen=True)
class Card:
    """Everything that rebuilds a network and feeds it: what it is, what it finds and how an image is prepared.

    An image is decoded, made grey (1 channel) or RGB (3), resized to ``size`` × ``size`` bilinearly with antialiasing
    and scaled to 0..1; the network normalises it itself. ``architecture`` may be ``module:function`` of the user's own
    code, which must then be importable; ``config`` is the whole configuration that it was trained with.
    """

    architecture: str
    channels: int
    size: int
    target: Target
    dropout: float
    config: dict[str, Any]
    sha256: str = ""
    format: int = FORMAT


def write_model(folder: Path, weights: Path, card: Card) -> None:
    """Write ``weights`` (a safetensors file) and ``card`` to ``folder``, each whole: what says so later must be true."""
    folder.mkdir(parents=True, exist_ok=True)
    content = weights.read_bytes()
    with whole(folder / WEIGHTS) as part:
        part.write_bytes(content)
    card = dataclasses.replace(card, sha256=hashlib.sha256(content).hexdigest())
    write_text_whole(folder / CARD, json.dumps(dataclasses.asdict(card), indent=2) + "\n")


def read_files(folder: Path) -> Card:
    """Return the card in ``folder``, with weights beside it that are those that were written.

    Raises:
        BadInput: a file is missing or damaged; names it.
    """
    card, path = read_card(folder / CARD), folder / WEIGHTS
    if not path.is_file():
        raise BadInput(f"there are no weights; {PUT_BACK}", file=str(path))
    if digest(path) != card.sha256:
        raise BadInput(f"the weights are not those that were written, by their sha256; {PUT_BACK}", file=str(path))
    return card


def is_model(folder: Path) -> bool:
    """Tell whether a model stands in ``folder``, undamaged."""
    try:
        read_files(folder)
    except BadInput:
        return False
    return True


def read_card(path: Path) -> Card:
    try:
        return card_from(json.loads(path.read_text()))
    except FileNotFoundError:
        raise BadInput("there is no model; run a search first", file=str(path)) from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise BadInput(f"not a model description of this version; {PUT_BACK}", file=str(path)) from None


def card_from(written: dict[str, Any]) -> Card:
    """Return the card that was written as JSON; raises `KeyError`, `TypeError` or `ValueError` for one that no search wrote."""
    known = {field.name for field in dataclasses.fields(Card)}
    card = Card(**{**{key: written[key] for key in known}, "target": read_target(written["target"])})
    check_card(card)
    return card


def check_card(card: Card) -> None:
    """Raise `ValueError` for a card that no search has written, before anything is built from it."""
    TrialConfig(**{**card.config, "architecture": card.architecture, "image_size": card.size, "dropout": card.dropout})
    if card.channels not in (1, 3):
        raise ValueError(card.channels)


def code(folder: Path) -> list[str]:
    """Return the files and folders of code that `read_model` needs: this package, and a network of the user's own."""
    architecture = read_card(folder / CARD).architecture
    return [str(Path(trainables.__file__).parent), *([] if architecture in MODELS else [str(own.source(architecture, KEY))])]
