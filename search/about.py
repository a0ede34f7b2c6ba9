"""The data of a search in numbers, which its record keeps: what can still be said of it once the images are gone."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.tasks import Target


@dataclass(frozen=True)
class About:
    """What a data set and its split came to.

    Attributes:
        tally: in how many images each class or point is found.
        sizes: least width, least height, greatest width, greatest height in pixels.
        pool: rows to train on; ``val`` validate every trial, ``test`` are sealed, ``dropped`` are left out as copies of these.
        duplicates: rows that are exact copies of an earlier one.
        conflicts: groups of copies with different targets.
        attributes: how often each value of a further column occurs.
    """

    task: str
    tally: dict[str, int]
    rows: int
    channels: int
    sizes: tuple[int, int, int, int]
    fingerprint: str
    pool: int
    val: int
    test: int
    dropped: int
    duplicates: int
    conflicts: int
    attributes: dict[str, dict[str, int]]

    @property
    def target(self) -> Target:
        """The task and the names of classes or points, from which a network's cost follows."""
        return Target(self.task, tuple(self.tally))
