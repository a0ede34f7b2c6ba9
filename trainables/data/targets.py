"""What is to be found in the images of a catalog, row by row, and what the split makes of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from trainables.errors import BadInput
from trainables.tasks import Target

SHOWN = 5  # images that a line names
UNSHOWN = "holds a control character, or one that is not UTF-8"


def is_unshown(name: str) -> bool:
    """Tell whether a name holds a control character, or half a surrogate, as a file's name that is not UTF-8 comes to."""
    return any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name)


class Targets(Protocol):
    """The target of every row of a catalog.

    Attributes:
        target: what all rows have in common.
        labels: int64 (N,), the stratum of each row: every side of the split is given its share of each.
        strata: what messages call each stratum.
        warnings: lines for the user about what can be used but is hardly meant.
    """

    target: Target
    labels: np.ndarray
    strata: tuple[str, ...]
    warnings: tuple[str, ...]

    def check(self) -> None:
        """Raise `BadInput` where there is too little to train and test on."""

    def array(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Return what a trial is given beside the pixels of ``rows`` at ``size`` pixels a side."""

    def marks(self) -> Sequence[Any]:
        """Return for each row a value that tells different targets apart, and sorts."""

    def tally(self) -> dict[str, int]:
        """Return in how many images each class or point is found."""

    def summary(self) -> str:
        """Return the same in a line for people."""


@dataclass(frozen=True, eq=False)
class Labels:
    """One class an image: ``labels`` int64 (N,) are indices into ``classes``."""

    classes: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, row_classes: Sequence[str], classes: Sequence[str]) -> Labels:
        """Return the labels of rows whose classes are given by name."""
        label_of = {name: label for label, name in enumerate(classes)}
        return cls(tuple(classes), np.array([label_of[name] for name in row_classes], np.int64))

    @property
    def target(self) -> Target:
        return Target("classification", self.classes)

    @property
    def strata(self) -> tuple[str, ...]:
        return tuple(f"class {name!r}" for name in self.classes)

    def check(self) -> None:
        """Raise `BadInput` for a class that cannot be shown, fewer than two classes or a class of fewer than three images."""
        for name in self.classes:
            if is_unshown(name):
                raise BadInput(f"class {name!a:.300} {UNSHOWN}; rename the folder or the label", key="data.root")
        if len(self.classes) < 2:
            raise BadInput(f"only one class, {self.classes[0]!r}; a classifier needs two or more", key="data.root")
        counts = np.bincount(self.labels, minlength=len(self.classes))
        if counts.min() < 3:
            few = int(counts.argmin())
            raise BadInput(
                f"class {self.classes[few]!r} has {images(counts[few])}; give it three or more "
                "(test, validation and training each need one), or remove it",
                key="data.root",
            )

    def array(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Return the labels of ``rows``, int64."""
        return self.labels[rows]

    def marks(self) -> list[int]:
        return self.labels.tolist()

    def tally(self) -> dict[str, int]:
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def summary(self) -> str:
        return in_words(self.tally())


def in_words(tally: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in tally.items())


def images(count: int) -> str:
    """Return a count of images in words: ``1 image``, ``2 images``."""
    return f"{count} image" if count == 1 else f"{count} images"


def some(names: Sequence[str]) -> str:
    """Return the first names of images, as many as a line takes."""
    return ", ".join([*names[:SHOWN], *(["…"] if len(names) > SHOWN else [])])


def ordered_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct class names in order: by value where all of them are whole numbers, else by text."""
    distinct = set(names)
    try:
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(distinct))
