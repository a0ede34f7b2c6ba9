"""The generated inspection images of `trainables.data.aoi` as a data set, drawn when they are first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.data import aoi
from trainables.data.arrays import open_mapped
from trainables.data.catalog import Catalog, content_hash
from trainables.data.config import DataConfig
from trainables.data.decode import as_image
from trainables.data.targets import Labels
from trainables.files import whole


@dataclass(frozen=True)
class GeneratedPixels:
    """`Pixels` drawn from a seed, kept as a file where a cache folder is given."""

    seed: int
    size: int

    def reader(self, cache: Path | None) -> Callable[[int], Image.Image]:
        """Draw all images, or map the kept ones, and return the function from a row to its image."""
        pixels = self.draw() if cache is None else self.cached(cache)
        return lambda row: as_image(pixels[row][None])

    def draw(self) -> np.ndarray:
        return aoi.generate(self.seed, self.size)[0]

    def cached(self, folder: Path) -> np.ndarray:
        """Return the kept pixels, mapped into memory; draw and keep them where they are not there or damaged."""
        file = folder / f"aoi-v{aoi.VERSION}-seed{self.seed}-size{self.size}.npy"
        shape = (sum(aoi.COUNTS), self.size, self.size)
        pixels = open_mapped(file, shape)
        if pixels is None:
            pixels = self.draw()
            save(file, pixels)
        return pixels


def save(file: Path, pixels: np.ndarray) -> None:
    """Write an array so that no other process can see half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as part, open(part, "wb") as opened:
        np.save(opened, pixels)


def scan(config: DataConfig) -> Catalog:
    """List the images without drawing them: what each will be follows from version, seed, size and number."""
    labels = np.repeat(np.arange(len(aoi.COUNTS)), aoi.COUNTS)
    names = tuple(f"aoi[{row}]" for row in range(len(labels)))
    origin = f"version {aoi.VERSION}, seed {config.seed}, size {config.size}"
    return Catalog(
        targets=Labels(aoi.CLASSES, labels),
        names=names,
        hashes=tuple(content_hash(f"{name}, {origin}".encode()) for name in names),
        channels=config.channels or 1,
        sizes=(config.size,) * 4,
        pixels=GeneratedPixels(config.seed, config.size),
    )
