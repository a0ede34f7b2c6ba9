"""The tasks: one a file, named here without importing any of them, with their metrics and which way is better.

A task owns the head, the loss, the sums that its metrics are made from, and what a prediction is (`Task`). Which
classes or points there are is the data's knowledge: its `Target`, from which and from a trial's settings the task is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TASKS = {"classification": "trainables.tasks.classification"}

METRICS = {
    "classification": {"accuracy": "max", "balanced_accuracy": "max", "macro_f1": "max", "loss": "min"},
}

HEADS = {"classification": (1, False)}  # outputs for each name of the target, and whether each is a map of the image


@dataclass(frozen=True)
class Target:
    """What a network is to find in an image, as the data tells it.

    Attributes:
        task: one of `TASKS`.
        names: of the classes, in the order of their index.
    """

    task: str
    names: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Width of the network's head."""
        return HEADS[self.task][0] * len(self.names)

    @property
    def maps(self) -> bool:
        """Whether an output is a map of the image's size, and not one number."""
        return HEADS[self.task][1]


def read_target(written: dict[str, Any]) -> Target:
    """Return the target that was written as JSON; raises `KeyError` or `TypeError` where it is none."""
    return Target(**{**written, "names": tuple(written["names"])})
