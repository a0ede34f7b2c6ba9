"""What the sources made of arrays have in common: `Pixels` in memory, and the catalog of a training and a test part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.data.catalog import Catalog, content_hash
from trainables.data.config import DataConfig
from trainables.data.decode import as_image
from trainables.data.targets import Labels
from trainables.errors import BadInput


@dataclass(frozen=True, eq=False)
class ArrayPixels:
    """`Pixels` that are one uint8 array (N, channels, height, width)."""

    array: np.ndarray = field(repr=False)

    def reader(self, cache: Path | None) -> Callable[[int], Image.Image]:
        """Return the function from a row to its image; nothing is cached."""
        return lambda row: as_image(self.array[row])


def catalog_of_parts(
    config: DataConfig,
    classes: tuple[str, ...],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> Catalog:
    """Return the catalog of two parts, each uint8 pixels (n, channels, height, width) and labels (n,).

    The second part is the source's own test and stays sealed.
    """
    pixels = np.concatenate([train[0], test[0]])
    labels = np.concatenate([train[1], test[1]]).astype(np.int64)
    if labels.min() < 0 or labels.max() >= len(classes):
        raise BadInput(
            f"label {labels.max()} names none of the {len(classes)} classes; fetch the files again", key="data.root"
        )
    _, channels, height, width = pixels.shape
    return Catalog(
        targets=Labels(classes, labels),
        names=tuple(
            f"{part}[{row}]" for part, rows in (("train", train[1]), ("test", test[1])) for row in range(len(rows))
        ),
        hashes=tuple(content_hash(image.data) for image in pixels),
        channels=config.channels or channels,
        sizes=(width, height, width, height),
        pixels=ArrayPixels(pixels),
        sealed=np.arange(len(labels)) >= len(train[1]),
    )
