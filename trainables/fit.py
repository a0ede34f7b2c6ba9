"""The training loop: a generator that yields one `EpochMetrics` an epoch, to whoever decides when to stop.

    for metrics in fit(TrialConfig(epochs=5), data):
        print(metrics.epoch, metrics.scores["accuracy"])

Images stay uint8 on the device. A step picks rows by a permutation made there, scales them to 0..1, augments,
and trains; nothing is waited for until the epoch's sums come back in one transfer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainables.augment import augment
from trainables.config import TrialConfig
from trainables.cost import cost, trains
from trainables.data.arrays import TrialData
from trainables.data.cache import DeviceImages, moments, on_device
from trainables.errors import BadInput, NotFinite
from trainables.models.normalize import network
from trainables.optim import make_optimizer, make_schedule
from trainables.precision import autocast, prepared
from trainables.tasks.classification import Classification

EVALUATION_PIXELS = 2**20  # a batch of evaluation: 256 images of 64 × 64


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch came to. ``scores`` are the task's metrics on the validation rows, but for the loss."""

    epoch: int  # from 1
    train_loss: float  # mean over the training rows as they were seen
    val_loss: float
    scores: dict[str, float]
    learning_rate: float  # of this epoch
    images_per_second: float  # training rows by the whole epoch, validation included
    seconds: float
    model: nn.Module = field(repr=False, compare=False)  # live: the next epoch goes on training it

    def row(self) -> dict[str, float]:
        """Return every number under its metric's name; ``loss`` is the validation loss."""
        numbers = ("epoch", "train_loss", "learning_rate", "images_per_second", "seconds")
        return {**{name: getattr(self, name) for name in numbers}, "loss": self.val_loss, **self.scores}


def fit(config: TrialConfig, data: TrialData, *, device: str | torch.device | None = None) -> Iterator[EpochMetrics]:
    """Train ``config`` on its share of the pool and yield after every epoch, scored on the validation rows.

    Each epoch draws from ``config.seed`` and its own number alone and leaves torch's generators as they were, so
    that neither an earlier trial nor whoever iterates can change the numbers.

    Args:
        device: where to train; the GPU if torch sees one, else the CPU.

    Raises:
        BadInput: the configuration and the data do not go together.
        NotFinite: a loss became NaN or infinite; raised at the end of that epoch.
    """
    rows = training_rows(config, data)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    images = on_device(data, device)
    train, val = images.pool.first(rows), images.val
    task = Classification(data.classes, config.label_smoothing)
    with seeded(config.seed, 0, device):
        model = new_model(config, data, rows, device)
    arithmetic = autocast(config.precision, device)
    optimizer = make_optimizer(model.parameters(), config)
    schedule = make_schedule(optimizer, config)
    for epoch in range(1, config.epochs + 1):
        start, rate = time.perf_counter(), optimizer.param_groups[0]["lr"]
        with seeded(config.seed, epoch, device):
            train_sum = train_epoch(model, task, train, optimizer, config, arithmetic)
            val_sums = evaluate(model, task, val, arithmetic)
        train_loss, *sums = torch.cat([train_sum.view(1) / rows, val_sums]).tolist()
        scores = task.scores(sums)
        val_loss = scores.pop("loss")
        require_finite(epoch, train_loss, val_loss)
        schedule(val_loss)
        seconds = time.perf_counter() - start
        yield EpochMetrics(epoch, train_loss, val_loss, scores, rate, rows / seconds, seconds, model)


def training_rows(config: TrialConfig, data: TrialData) -> int:
    """Return how many rows of the pool ``config.split_ratio`` stands for, where ``config`` can train on them."""
    cost(config.architecture, data.channels, len(data.classes), data.size)
    if config.image_size != data.size:
        raise BadInput(f"the images are {data.size} pixels wide, not {config.image_size}", key="space.image_size")
    rows = max(1, round(config.split_ratio * len(data.pool)))
    if config.batch_size > rows:
        raise BadInput(
            f"{config.batch_size} is more than the {rows} training rows; give {rows} or less", key="space.batch_size"
        )
    if config.batch_size == 1 and not trains(config.architecture, data.channels, data.size, batch=1):
        what = f"1 is too few for the batch statistics of {config.architecture}"
        raise BadInput(f"{what}; give 2", key="space.batch_size")
    return rows


def new_model(config: TrialConfig, data: TrialData, rows: int, device: torch.device) -> nn.Module:
    """Build the network behind the normalisation of its training rows, with fresh weights."""
    mean, std = moments(data, rows, device)
    model = network(
        config.architecture,
        channels=data.channels,
        outputs=len(data.classes),
        size=data.size,
        dropout=config.dropout,
        mean=mean,
        std=std,
    )
    return prepared(model, device)


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Draw from generators that depend on ``seed`` and ``epoch`` alone, and give back their states afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        # Mixed, because torch's CPU generator looks at no more than 32 bits of what it is given.
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        yield


def train_epoch(
    model: nn.Module,
    task: Classification,
    images: DeviceImages,
    optimizer: Optimizer,
    config: TrialConfig,
    arithmetic: torch.autocast,
) -> Tensor:
    """Show every image once, in a new order; return the summed loss, still on the device."""
    model.train()
    fill = model.normalize.mean
    total = torch.zeros((), dtype=torch.float64, device=fill.device)
    for batch in batches(len(images), config.batch_size, fill.device):
        pixels = augment(to_float(images.pixels[batch]), config, fill)
        with arithmetic:
            outputs = model(pixels)
        loss = task.loss(outputs, images.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(batch)
    return total


def batches(rows: int, size: int, device: torch.device) -> list[Tensor]:
    """Return the row numbers of each batch, in random order; a last row left alone joins the batch before it.

    One image has no batch statistics where a network ends in a map of one pixel.
    """
    parts = list(torch.randperm(rows, device=device).split(size))
    if len(parts) > 1 and len(parts[-1]) == 1 < size:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def to_float(pixels: Tensor) -> Tensor:
    return pixels.float().div_(255)


@torch.inference_mode()
def evaluate(model: nn.Module, task: Classification, images: DeviceImages, arithmetic: torch.autocast) -> Tensor:
    """Return the task's summed `measure` over ``images``, still on the device; `task.scores` turns it into metrics."""
    model.eval()
    size = max(1, EVALUATION_PIXELS // images.pixels[0, 0].numel())
    sums = []
    for pixels, labels in zip(images.pixels.split(size), images.labels.split(size), strict=True):
        with arithmetic:
            outputs = model(to_float(pixels))
        sums.append(task.measure(outputs, labels))
    return torch.stack(sums).sum(0)


def require_finite(epoch: int, train_loss: float, val_loss: float) -> None:
    for name, loss in (("training", train_loss), ("validation", val_loss)):
        if not math.isfinite(loss):
            raise NotFinite(f"the {name} loss became {loss} in epoch {epoch}")
