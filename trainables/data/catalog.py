"""What a data set holds, known without decoding it: rows, labels, content hashes and how to reach the pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from trainables.errors import BadInput


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
        classes: names of the classes; a label is an index into them.
        labels: int64 (N,).
        names: path of each row relative to the root, or such as ``train[17]``.
        hashes: content hash of each row; exact copies share it.
        groups: group of each row, or None where the source has none.
        sealed: bool (N,), the rows that the source itself keeps for the test, or None.
        channels: 1 or 3.
        sizes: least width, least height, greatest width, greatest height in pixels, as stored.
        attributes: further columns that are recorded and not trained on.
        fingerprint: names this content, however files are named or ordered.
        pixels: the way to the images themselves.
    """

    classes: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    hashes: tuple[bytes, ...] = field(repr=False)
    channels: int
    sizes: tuple[int, int, int, int]
    pixels: Pixels = field(repr=False)
    groups: tuple[str, ...] | None = field(default=None, repr=False)
    sealed: np.ndarray | None = field(default=None, repr=False)
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        check_classes(self)
        object.__setattr__(self, "fingerprint", fingerprint(self))

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the rows of each class, int64 (classes,), among ``rows`` or among all."""
        return np.bincount(self.labels if rows is None else self.labels[rows], minlength=len(self.classes))


def content_hash(content: bytes | memoryview) -> bytes:
    """Return the 16 bytes that stand for a row's content."""
    return hashlib.blake2b(content, digest_size=16).digest()


def fingerprint(catalog: Catalog) -> str:
    """Return 16 hexadecimal digits over classes, channels and the sorted rows (content, label, group, sealed)."""
    groups = catalog.groups or ("",) * len(catalog)
    sealed = np.zeros(len(catalog), bool) if catalog.sealed is None else catalog.sealed
    digest = hashlib.blake2b(repr((catalog.classes, catalog.channels)).encode(), digest_size=8)
    for row in sorted(zip(catalog.hashes, catalog.labels.tolist(), groups, sealed.tolist())):
        digest.update(repr(row).encode())
    return digest.hexdigest()


def check_classes(catalog: Catalog) -> None:
    """Raise `BadInput` for fewer than two classes or a class of fewer than three images."""
    if len(catalog.classes) < 2:
        raise BadInput(f"only one class, {catalog.classes[0]!r}; a classifier needs two or more", key="data.root")
    counts = catalog.counts()
    if counts.min() < 3:
        few = int(counts.argmin())
        raise BadInput(
            f"class {catalog.classes[few]!r} has {images(counts[few])}; give it three or more "
            "(test, validation and training each need one), or remove it",
            key="data.root",
        )


def images(count: int) -> str:
    """Return a count of images in words: ``1 image``, ``2 images``."""
    return f"{count} image" if count == 1 else f"{count} images"


def ordered_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct class names in order: by value where all of them are whole numbers, else by text."""
    distinct = set(names)
    try:
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(distinct))
