"""What a data set holds, known without decoding it: rows, targets, content hashes and how to reach the pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from trainables.data.targets import Targets
from trainables.tasks import Target


class Pixels(Protocol):
    """Where the images of a catalog come from: files, arrays in memory or a generator."""

    def reader(self, cache: Path | None) -> Callable[[int], Image.Image]:
        """Return a function from a row to its image in mode L or RGB, safe to call from several threads.

        ``cache`` is a folder in which costly images may be kept. The function raises `Unreadable`.
        """


@dataclass(frozen=True, eq=False)
class Catalog:
    """The rows of a data set, in the order in which its source lists them.

    Attributes:
        targets: what is to be found in each row.
        names: path of each row relative to the root, or such as ``train[17]``.
        hashes: content hash of each row; exact copies share it.
        groups: group of each row, or None where the source has none.
        sealed: bool (N,), the rows that the source itself keeps for the test, or None.
        channels: 1 or 3.
        sizes: least width, least height, greatest width, greatest height in pixels, upright.
        attributes: further columns that are recorded and not trained on.
        left_out: names of the files that cannot be read and may be missing.
        fingerprint: names this content, however files are named or ordered.
        pixels: the way to the images themselves.
    """

    targets: Targets = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    hashes: tuple[bytes, ...] = field(repr=False)
    channels: int
    sizes: tuple[int, int, int, int]
    pixels: Pixels = field(repr=False)
    groups: tuple[str, ...] | None = field(default=None, repr=False)
    sealed: np.ndarray | None = field(default=None, repr=False)
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        self.targets.check()
        object.__setattr__(self, "fingerprint", fingerprint(self))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def target(self) -> Target:
        return self.targets.target

    @property
    def planes(self) -> int:
        """Return how many bytes a pixel takes once decoded: its channels, and its mask where there is one."""
        return self.channels + self.target.maps

    @property
    def labels(self) -> np.ndarray:
        """Return the stratum of each row, int64 (N,); in classification its class."""
        return self.targets.labels

    def rows(self) -> Iterator[tuple[bytes, Any, str, bool]]:
        """Yield what tells each row from others: content hash, target, group, and whether the source keeps it for the test."""
        groups = self.groups or ("",) * len(self)
        sealed = np.zeros(len(self), bool) if self.sealed is None else self.sealed
        return zip(self.hashes, self.targets.marks(), groups, sealed.tolist())

    def counts(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the rows of each stratum, int64 (strata,), among ``rows`` or among all."""
        return np.bincount(self.labels if rows is None else self.labels[rows], minlength=len(self.targets.strata))


def content_hash(content: bytes | memoryview) -> bytes:
    """Return the 16 bytes that stand for a row's content."""
    return hashlib.blake2b(content, digest_size=16).digest()


def fingerprint(catalog: Catalog) -> str:
    """Return 16 hexadecimal digits over classes, channels and the sorted rows (content, target, group, sealed)."""
    digest = hashlib.blake2b(repr((catalog.target.names, catalog.channels)).encode(), digest_size=8)
    for row in sorted(catalog.rows()):
        digest.update(repr(row).encode())
    return digest.hexdigest()
