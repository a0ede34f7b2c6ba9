"""What the training loop, the finish and `predict` ask of a task, and how one is made."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.cache import DeviceImages
from trainables.data.stream import HostImages
from trainables.tasks import TASKS, Target

ACROSS, DOWN = 3, 2  # dimensions of images (N, C, height, width), as a flip turns them round

@dataclass(frozen=True)
class Answer:
    """What `predict` says of one image.

    Attributes:
        text: for people, in a line.
        fields: for programs; what stands in a dictionary in it becomes columns of a CSV, too.
        picture: to be written as PNG, where the task's answer is one.
    """

    text: str
    fields: dict[str, Any]
    picture: Image.Image | None = None


class Task(Protocol):
    """Loss, metrics and prediction from a network's ``outputs`` for a batch of N images and their ``targets``."""

    def augment(self, images: Tensor, targets: Tensor, config: TrialConfig, fill: Tensor) -> tuple[Tensor, Tensor]:
        """Return images (N, C, S, S) in 0..1 as `trainables.augment` changes them, with targets that still fit them."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss to train on."""

    def measure(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return what `scores` needs of a batch, float64 (M): the sums of two batches add up to those of both."""

    def scores(self, sums: Sequence[float]) -> dict[str, float]:
        """Return the task's metrics, ``loss`` among them, from the summed `measure` of all batches."""

    def details(self, sums: Sequence[float]) -> dict[str, Any]:
        """Return what a report shows beside the metrics, as JSON."""

    def predict(self, outputs: Tensor) -> Tensor:
        """Return what the model says of each image (N, ...)."""

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the outputs that stand for the mean of several answers to the same images."""

    def turned(self, outputs: Tensor, flip: tuple[int, ...]) -> Tensor:
        """Return for ``outputs`` of images flipped along the dimensions ``flip`` what they say of the images themselves."""

    def answer(self, prediction: np.ndarray, size: tuple[int, int]) -> Answer:
        """Return one row of `predict` for people and files; ``size`` is the image's own width and height in pixels."""


def make_task(target: Target, config: TrialConfig, pool: DeviceImages | HostImages | None = None) -> Task:
    """Make the task that ``config`` asks for; ``pool`` holds the training rows, where it is to be trained."""
    return importlib.import_module(TASKS[target.task]).make(target, config, pool)
