"""Several answers to one image taken as one: those of several networks, or of one network to the image and its mirror images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.tasks.task import ACROSS, DOWN, Task


class Ensemble(nn.Module):
    """Answers with the mean of its members' answers: shares of the classes, or points."""

    def __init__(self, members: Sequence[nn.Module], task: Task):
        super().__init__()
        self.members, self.task = nn.ModuleList(members), task

    def forward(self, images: Tensor) -> Tensor:
        return self.task.mean([member(images) for member in self.members])


class Flipped(nn.Module):
    """Answers with the mean over an image and its mirror images, whose answers are turned back.

    Args:
        flips: the dimensions that each mirror image has turned round.
    """

    def __init__(self, model: nn.Module, task: Task, flips: Sequence[tuple[int, ...]]):
        super().__init__()
        self.model, self.task, self.flips = model, task, flips

    def forward(self, images: Tensor) -> Tensor:
        answers = [self.task.turned(self.model(images.flip(flip)), flip) for flip in self.flips]
        return self.task.mean([self.model(images), *answers])


def flips_of(config: TrialConfig) -> list[tuple[int, ...]]:
    """Return the mirror images that a network of ``config`` has learned from; both flips together are one, too."""
    known = [(dimension,) for dimension, share in ((ACROSS, config.horizontal_flip), (DOWN, config.vertical_flip)) if share]
    return known + [(DOWN, ACROSS)] * (len(known) == 2)
