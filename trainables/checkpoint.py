"""The state of a trial on disk: all that makes the trial that goes on equal to one that was never stopped.

A checkpoint is two files, `EPOCH.safetensors` (weights, buffers, the optimizer's memory) and `EPOCH.json` (the rest, with
the sha256 of the first), in the trial's folder. Nothing is pickled. The second file is what makes it whole: it is moved
into place when everything else is written. The one before stays beside it, and the last that the disk is known to have, so
that a damaged checkpoint costs only the epochs since that.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainables.config import TrialConfig
from trainables.errors import BadInput, DiskFull
from trainables.files import checkpoint_epochs, remove_checkpoint, whole

FORMAT = 1
KEPT = 2
SPARE = 2**20  # bytes left free for whoever else writes there


@dataclass(frozen=True)
class Checkpoint:
    """A trial after ``epoch`` epochs.

    Random numbers need no place in it: they depend on the seed and the number of the epoch alone. Nor does the
    schedule, which is what it makes of the losses so far.

    Attributes:
        config: what the trial was given.
        data: key of the data that it trains on.
        losses: validation loss of each epoch so far.
        tensors: weights, buffers and the optimizer's memory, as `Step.state` names them.
    """

    config: TrialConfig
    data: str
    losses: tuple[float, ...]
    tensors: dict[str, Tensor]

    @property
    def epoch(self) -> int:
        return len(self.losses)


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, sync: bool = True, keep: int | None = None) -> None:
    """Write ``checkpoint`` to a trial's ``folder``, whole or not at all; the one before it is kept, and that of epoch ``keep``.

    Args:
        sync: whether to wait until the disk has it. Without, a power cut may tear it: it then counts for nothing.

    Raises:
        DiskFull: there is no room for it; what stood there before still stands.
    """
    content = save(checkpoint.tensors)
    card = {"format": FORMAT, "config": dataclasses.asdict(checkpoint.config), "data": checkpoint.data,
            "losses": checkpoint.losses, "sha256": hashlib.sha256(content).hexdigest()}
    name = str(checkpoint.epoch)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < len(content) + SPARE:
            raise DiskFull(f"{folder}: a checkpoint of {len(content):,} bytes has no room, {free:,} are free; make room")
        for ending, what in (("safetensors", content), ("json", json.dumps(card).encode())):
            with whole(folder / f"{name}.{ending}", sync) as part:
                part.write_bytes(what)
    except OSError as problem:
        raise DiskFull(f"{folder}: a checkpoint cannot be written ({problem.strerror}); make room") from None
    for old in checkpoint_epochs(folder)[KEPT:]:
        if old != keep:
            remove_checkpoint(folder, old)


def newest_checkpoint(folder: Path, config: TrialConfig, data: str) -> Checkpoint | None:
    """Return the last undamaged checkpoint of a trial, or None where the trial must begin anew."""
    for epoch in checkpoint_epochs(folder):
        try:
            found = read_checkpoint(folder, epoch)
        except BadInput:
            continue
        if (found.config, found.data, found.epoch) == (config, data, epoch):
            return found
    return None


def read_checkpoint(folder: Path, epoch: int) -> Checkpoint:
    """Return the checkpoint after ``epoch``, its tensors on the CPU.

    Raises:
        BadInput: it is damaged; names the file.
    """
    path, weights = folder / f"{epoch}.json", folder / f"{epoch}.safetensors"
    try:
        card, content = json.loads(path.read_bytes()), weights.read_bytes()
        if card["format"] != FORMAT or card["sha256"] != hashlib.sha256(content).hexdigest():
            raise ValueError
        losses = tuple(float(loss) for loss in card["losses"])
        return Checkpoint(TrialConfig(**card["config"]), card["data"], losses, load(content))
    except (OSError, LookupError, TypeError, ValueError, OverflowError, RecursionError, SafetensorError):
        raise BadInput("not a whole checkpoint of this version", file=str(path)) from None
