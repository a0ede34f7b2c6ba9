"""The training loop: a generator that yields one `EpochMetrics` an epoch, to whoever decides when to stop.

    for metrics in fit(TrialConfig(epochs=5), data):
        print(metrics.epoch, metrics.scores["accuracy"])

Images stay uint8 on the device. A step picks rows by a permutation made there, scales them to 0..1, augments,
and trains; nothing is waited for until the epoch's sums come back in one transfer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from trainables.checkpoint import Checkpoint
from trainables.config import TrialConfig
from trainables.cost import cost, trains
from trainables.data.arrays import TrialData
from trainables.data.cache import DeviceImages, moments, on_device
from trainables.data.stream import HostImages
from trainables.errors import BadInput, NotFinite
from trainables.models.dropout import with_tensor_dropout
from trainables.models.normalize import network
from trainables.optim import make_schedule
from trainables.step import Step, Steps, to_float
from trainables.tasks.task import make_task

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
    checkpoint: Callable[[], Checkpoint] = field(repr=False, compare=False)  # to be called before the next epoch
    memory: int | None = None  # most bytes of the GPU that this trial's network, step and evaluation took

    def row(self) -> dict[str, float]:
        """Return every number under its metric's name; ``loss`` is the validation loss."""
        names = ("epoch", "train_loss", "learning_rate", "images_per_second", "seconds", "memory")
        numbers = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**numbers, "loss": self.val_loss, **self.scores}


def fit(config: TrialConfig, data: TrialData, *, device: str | torch.device | None = None, steps: Steps | None = None,
        start: Checkpoint | None = None) -> Iterator[EpochMetrics]:
    """Train ``config`` on its share of the pool and yield after every epoch, scored on the validation rows.

    Each epoch draws from ``config.seed`` and its own number alone and leaves torch's generators as they were, so
    that neither an earlier trial nor whoever iterates can change the numbers.

    Args:
        device: where to train; the GPU if torch sees one, else the CPU.
        steps: what earlier trials made and this one may use again; their models are then trained anew.
        start: a checkpoint of this trial on this data; the epochs after it are then the same as without the break.

    Raises:
        BadInput: the configuration and the data do not go together.
        NotFinite: a loss became NaN or infinite; raised at the end of that epoch.
    """
    rows = training_rows(config, data)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    images = on_device(data, device)
    task = make_task(data.target, config, images.pool)
    with isolated(config.seed, 0, device):
        model = new_model(config, data, rows, device)
    rate, next_rate, losses = config.learning_rate, make_schedule(config), list(start.losses if start else ())
    for epoch, loss in enumerate(losses, 1):
        rate = next_rate(epoch, loss)
    with (steps or Steps()).lent(config, images.pool, task, model) as step:
        if start:
            step.go_on(start.tensors)
        for epoch in range(len(losses) + 1, config.epochs + 1):
            began = time.perf_counter()
            with isolated(config.seed, epoch, device):
                train_sum = train_epoch(step, rows, rate)
                val_sums = evaluate(step, images.val)
            train_loss, *sums = torch.cat([train_sum.view(1) / rows, val_sums]).tolist()
            scores = task.scores(sums)
            val_loss = scores.pop("loss")
            require_finite(epoch, train_loss, val_loss)
            losses.append(val_loss)
            seconds = time.perf_counter() - began
            yield EpochMetrics(epoch, train_loss, val_loss, scores, rate, rows / seconds, seconds, step.model,
                               lambda: Checkpoint(config, data.key, tuple(losses), step.state()), step.memory())
            rate = next_rate(epoch, val_loss)


def training_rows(config: TrialConfig, data: TrialData) -> int:
    """Return how many rows of the pool ``config.split_ratio`` stands for, where ``config`` can train on them."""
    cost(config.architecture, data.channels, data.target.outputs, data.size, maps=data.target.maps, **config.options())
    if config.image_size != data.size:
        raise BadInput(f"the images are {data.size} pixels wide, not {config.image_size}", key="space.image_size")
    rows = max(1, round(config.split_ratio * len(data.pool)))
    if config.batch_size > rows:
        raise BadInput(
            f"{config.batch_size} is more than the {rows} training rows; give {rows} or less", key="space.batch_size"
        )
    if config.batch_size == 1 and not trains(
        config.architecture, data.channels, data.size, batch=1, **config.options()
    ):
        what = f"1 is too few for the batch statistics of {config.architecture}"
        raise BadInput(f"{what}; give 2", key="space.batch_size")
    return rows


def new_model(config: TrialConfig, data: TrialData, rows: int, device: torch.device) -> nn.Module:
    """Build the network behind the normalisation of its training rows, with fresh or pretrained weights."""
    mean, std = moments(data, rows, device)
    model = network(
        config.architecture,
        channels=data.channels,
        outputs=data.target.outputs,
        size=data.size,
        dropout=config.dropout,
        mean=mean,
        std=std,
        **config.options(),
    )
    if config.pretrained:
        from trainables.models.pretrained import load_pretrained  # with what it takes to count networks, slow to import

        load_pretrained(model.network, config, data.channels, data.target.outputs)
    return with_tensor_dropout(model)


@contextmanager
def isolated(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Draw from generators that depend on ``seed`` and ``epoch`` alone, with cuDNN at its defaults but for TF32: off.

    Generators and flags are given back as they were.
    """
    draws = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with draws, torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
        # Mixed, because torch's CPU generator looks at no more than 32 bits of what it is given.
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        yield


def train_epoch(step: Step, rows: int, rate: float) -> Tensor:
    """Show each of the first ``rows`` images once, in a new order; return the summed loss, still on the device."""
    step.begin_epoch(rate)
    for batch in step.images.shuffled(rows, step.config.batch_size):
        step(*batch)
    return step.total


@torch.inference_mode()
def evaluate(step: Step, images: DeviceImages | HostImages) -> Tensor:
    """Return the task's summed `measure` over ``images``, still on the device; `task.scores` turns it into metrics."""
    step.model.eval()
    size = max(1, EVALUATION_PIXELS // images.pixels[0, 0].numel())
    sums = []
    for pixels, targets in images.in_order(size):
        with step.arithmetic:
            outputs = step.model(to_float(pixels))
        sums.append(step.task.measure(outputs, targets))
    return torch.stack(sums).sum(0)


def require_finite(epoch: int, train_loss: float, val_loss: float) -> None:
    for name, loss in (("training", train_loss), ("validation", val_loss)):
        if not math.isfinite(loss):
            raise NotFinite(f"the {name} loss became {loss} in epoch {epoch}")
