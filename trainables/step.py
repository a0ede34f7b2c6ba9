"""One step of training as an object: made once for every trial of the same shape, and started afresh for each."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.cache import DeviceImages
from trainables.data.stream import HostImages
from trainables.graph import captured
from trainables.optim import clear_state, decay_weights, make_optimizer, memory, remember
from trainables.precision import autocast
from trainables.tasks.task import Task

KEPT = 8  # steps kept for later trials, each with the memory of its network


def shape(config: TrialConfig) -> TrialConfig:
    """Return what of ``config`` is fixed in a step: all but what it reads from tensors and what it never sees.

    Of weight decay and dropout only whether there is any. A network of the user's own may hold its dropout in
    another way than torch's module, and so keeps it.
    """
    dropout = 0.5 * (config.dropout > 0) if ":" not in config.architecture else config.dropout
    return dataclasses.replace(
        config, learning_rate=1.0, weight_decay=1.0 * (config.weight_decay > 0), dropout=dropout,
        split_ratio=1.0, lr_schedule="none", epochs=1, seed=0,
    )  # fmt: skip


class Step:
    """Pick, augment, forward, backward, update: called with a batch of ``images.shuffled``, it trains ``model``.

    On a GPU the whole of it is one CUDA graph for batches of the full size. ``total`` sums the losses of the rows
    seen since `begin_epoch`, still on the device.

    Args:
        config: the settings; those that `shape` leaves out are given anew by `begin` and `begin_epoch`.
        model: a network to copy.
    """

    def __init__(self, config: TrialConfig, images: DeviceImages | HostImages, task: Task, model: nn.Module):
        self.config, self.images, self.task = shape(config), images, task
        device = images.device
        self.device, self._before, self._peak = device, start_measuring(device), None
        self.model = copy.deepcopy(model).to(device, memory_format=torch.channels_last)
        self.arithmetic = autocast(config.precision, device, self.model)
        self.rate, self.decay = torch.zeros((), device=device), torch.zeros((), device=device)
        self.optimizer = make_optimizer(self.model.parameters(), self.config, self.rate)
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.model.train()
        self.run = captured(self.train, *images.example(config.batch_size))

    def begin(self, config: TrialConfig, model: nn.Module) -> None:
        """Start a trial: all tensors as ``model`` has them, an optimizer that has seen nothing, in the same memory."""
        clear_state(self.optimizer)
        self.decay.fill_(config.weight_decay)
        with torch.no_grad():
            for mine, new in zip(tensors(self.model), tensors(model), strict=True):
                mine.copy_(new)

    def state(self) -> dict[str, Tensor]:
        """Return copies on the CPU of all that training changes, named: the model's tensors and the optimizer's memory."""
        named = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        named |= {f"optimizer.{name}": tensor for name, tensor in memory(self.optimizer).items()}
        return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in named.items()}

    def go_on(self, state: Mapping[str, Tensor]) -> None:
        """Stand where another step of this shape stood when it returned ``state``; in the same memory, as `begin` does."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
        for key, tensor in state.items():
            part, _, name = key.partition(".")
            parts[part][name] = tensor
        self.model.load_state_dict(parts["model"])
        remember(self.optimizer, parts["optimizer"])

    def begin_epoch(self, rate: float) -> None:
        """Start an epoch at a learning rate."""
        self.model.train()
        self.rate.fill_(rate)
        self.total.zero_()

    def memory(self) -> int | None:
        """Return the most bytes of the GPU that this step has taken, from its making to the first call; None off CUDA."""
        if self._peak is None and self._before is not None:
            self._peak = torch.cuda.max_memory_allocated(self.device) - self._before
        return self._peak

    def __call__(self, *batch: Tensor) -> None:
        self.run(*batch)

    def train(self, *batch: Tensor) -> None:
        pixels, targets = self.images.look_up(*batch)
        pixels, targets = self.task.augment(to_float(pixels), targets, self.config, self.model.normalize.mean)
        with self.arithmetic:
            outputs = self.model(pixels)
        loss = self.task.loss(outputs, targets)
        self.optimizer.zero_grad()
        loss.backward()
        if self.config.weight_decay:
            decay_weights(self.optimizer, self.decay, decoupled=self.config.optimizer == "adamw")
        self.optimizer.step()
        self.total += loss.detach() * len(targets)


def start_measuring(device: torch.device) -> int | None:
    """Start to watch a GPU's memory from here; return what is taken already."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def tensors(model: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())


def to_float(pixels: Tensor) -> Tensor:
    return pixels.float().div_(255)


class Steps:
    """The steps that trials of one process have used, kept for those to come."""

    def __init__(self) -> None:
        self._kept: dict[tuple, Step] = {}

    @contextmanager
    def lent(self, config: TrialConfig, images: DeviceImages | HostImages, task: Task, model: nn.Module
             ) -> Iterator[Step]:
        """Yield the step for ``config`` on ``images``, begun with the weights of ``model``.

        Nobody else is lent it meanwhile. The model of a step that came back trains again in a later trial.
        """
        key = shape(config), images
        step = self._kept.pop(key, None) or self._make(config, images, task, model)
        step.begin(config, model)
        try:
            yield step
        finally:
            self._kept[key] = step
            for oldest in list(self._kept)[:-KEPT]:
                del self._kept[oldest]

    def _make(self, *settings) -> Step:
        try:
            return Step(*settings)
        except torch.OutOfMemoryError:
            if not self._kept:
                raise
        self.clear()
        return Step(*settings)

    def clear(self) -> None:
        """Forget all steps that are not lent."""
        self._kept.clear()
