"""The tasks: one a file, named here without importing any of them, with their metrics and which way is better.

A task owns the head, the loss, the sums that its metrics are made from, and what a prediction is (`Task`). Which
classes or points there are is the data's knowledge: its `Target`, from which and from a trial's settings the task is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TASKS = {
    "classification": "trainables.tasks.classification",
    "landmarks": "trainables.tasks.landmarks",
    "segmentation": "trainables.tasks.segmentation",
}

METRICS = {
    "classification": {"accuracy": "max", "balanced_accuracy": "max", "macro_f1": "max", "loss": "min"},
    "landmarks": {
        "pixel_distance": "min", "pixel_diff": "min", "normalised_distance": "min", "normalised_diff": "min", "loss": "min",
    },
    "segmentation": {"mean_iou": "max", "pixel_accuracy": "max", "loss": "min"},
}  # fmt: skip

IGNORED = 255  # class of a mask's pixels that stand for nothing

NORMALISED = {"pixel_distance": "normalised_distance", "pixel_diff": "normalised_diff"}
"""Metrics in pixels of the network's image, with those that compare between images of another size."""

RESIZED = ("mean_iou", "pixel_accuracy")
"""Metrics of masks that were resized to the network's image, and not of those that the files hold."""

HEADS = {"classification": (1, False), "landmarks": (2, False), "segmentation": (1, True)}
"""Outputs for each name of the target, and whether each is a map of the image."""

UNUSED = {"classification": (), "landmarks": ("label_smoothing", "class_weights"), "segmentation": ()}
"""Settings of a trial that mean nothing to the task."""

Value = int | tuple[int, int, int]  # how a mask writes a class: as a grey value, or as red, green and blue


@dataclass(frozen=True)
class Target:
    """What a network is to find in an image, as the data tells it.

    Attributes:
        task: one of `TASKS`.
        names: of the classes or points, in the order of their index.
        pairs: numbers of the points that are left and right of each other.
        values: how masks write each class; empty where they write its index.
    """

    task: str
    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    values: tuple[Value, ...] = ()

    @property
    def outputs(self) -> int:
        """Width of the network's head."""
        return HEADS[self.task][0] * len(self.names)

    @property
    def noun(self) -> str:
        """What the names are of."""
        return "points" if self.task == "landmarks" else "classes"

    @property
    def maps(self) -> bool:
        """Whether an output is a map of the image's size, and not one number."""
        return HEADS[self.task][1]


def read_target(written: dict[str, Any]) -> Target:
    """Return the target that was written as JSON; raises `KeyError`, `TypeError` or `ValueError` where it is none."""
    target = Target(written["task"], *(tuples(written[name]) for name in ("names", "pairs", "values")))
    points = range(len(target.names))
    plain = target.task in TASKS and points and all(isinstance(name, str) for name in target.names)
    paired = all(len(pair) == 2 and all(point in points for point in pair) for pair in target.pairs)
    if not (plain and paired and all(isinstance(value, (int, tuple)) for value in target.values)):
        raise ValueError(target)
    return target


def tuples(value: Any) -> Any:
    """Return lists, and those inside them, as tuples."""
    return tuple(map(tuples, value)) if isinstance(value, (list, tuple)) else value
