"""Points of a catalog's images, in pixels of each image as it is stored upright; NaN where one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trainables.data.catalog import content_hash
from trainables.tasks import Target


@dataclass(frozen=True, eq=False)
class Points:
    """K points an image: `Targets` whose split has no strata.

    Attributes:
        target: names the points.
        places: float64 (N, K, 2), x and y in pixels, whole numbers in the middle of a pixel.
        extents: int64 (N, 2), width and height of each image.
    """

    target: Target
    places: np.ndarray = field(repr=False)
    extents: np.ndarray = field(repr=False)
    warnings: tuple[str, ...] = ()
    strata: tuple[str, ...] = ("the data set",)

    @property
    def labels(self) -> np.ndarray:
        return np.zeros(len(self.places), np.int64)

    def check(self) -> None:
        """Do nothing: the split says where there are too few rows."""

    def array(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Return the points of ``rows`` in images resized to ``size``, float32 (rows, K, 2)."""
        return resized(self.places[rows], self.extents[rows, None], (size, size)).astype(np.float32)

    def marks(self) -> list[bytes]:
        return [content_hash(places.tobytes()) for places in self.places]

    def tally(self) -> dict[str, int]:
        seen = np.isfinite(self.places).all(2).sum(0).tolist()
        return dict(zip(self.target.names, seen, strict=True))

    def summary(self) -> str:
        given, total = sum(self.tally().values()), self.places.shape[0] * self.places.shape[1]
        return f"{self.places.shape[1]}, {total - given} of {total} missing"


def resized(places: np.ndarray, before: Sequence[int] | np.ndarray, after: Sequence[int]) -> np.ndarray:
    """Return places (..., 2) in an image of width and height ``before`` as they are in it resized to ``after``."""
    return (places + 0.5) * (np.asarray(after) / np.asarray(before)) - 0.5
