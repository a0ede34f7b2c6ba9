"""What the sources made of files have in common: from a list of paths and class names to a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainables.data.catalog import Catalog, ordered_classes
from trainables.data.files import FilePixels, read_headers


def catalog_of_files(
    paths: Sequence[Path],
    names: Sequence[str],
    row_classes: Sequence[str],
    *,
    classes: Sequence[str] | None = None,
    channels: int | None = None,
    groups: Sequence[str] | None = None,
    sealed: Sequence[bool] | None = None,
    attributes: dict[str, tuple[str, ...]] | None = None,
) -> Catalog:
    """Read every file once and return the catalog of them.

    Args:
        names: what messages call each file.
        row_classes: class name of each file.
        classes: all class names in order, where they are more than those that occur.
        channels: 1 or 3; by default grey where every image is grey.
        groups, sealed, attributes: as in `Catalog`.

    Raises:
        BadInput: for images that cannot be read, too few of them or too few classes.
    """
    headers = read_headers(paths, names)
    classes = tuple(classes or ordered_classes(row_classes))
    label_of = {name: label for label, name in enumerate(classes)}
    return Catalog(
        classes=classes,
        labels=np.array([label_of[name] for name in row_classes], np.int64),
        names=tuple(names),
        hashes=tuple(header.hash for header in headers),
        channels=channels or (1 if all(header.grey for header in headers) else 3),
        sizes=bounds([header.width for header in headers], [header.height for header in headers]),
        pixels=FilePixels(tuple(paths)),
        groups=None if groups is None else tuple(groups),
        sealed=None if sealed is None else np.array(sealed, bool),
        attributes=attributes or {},
    )


def bounds(widths: Sequence[int], heights: Sequence[int]) -> tuple[int, int, int, int]:
    """Return least width, least height, greatest width and greatest height."""
    return min(widths), min(heights), max(widths), max(heights)
