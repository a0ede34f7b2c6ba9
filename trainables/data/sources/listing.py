"""What the sources made of files have in common: from a list of paths and what was read of them to a catalog."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.data.catalog import Catalog
from trainables.data.files import THREADS, FilePixels, Files
from trainables.data.targets import Targets


def catalog_of_files(
    files: Files,
    targets: Targets,
    *,
    channels: int | None = None,
    groups: Sequence[str] | None = None,
    sealed: Sequence[bool] | None = None,
    attributes: dict[str, tuple[str, ...]] | None = None,
) -> Catalog:
    """Return the catalog of some files.

    Args:
        targets: what is to be found in each.
        channels: 1 or 3; by default grey where every image is grey.
        groups, sealed, attributes: as in `Catalog`.

    Raises:
        BadInput: for too few of them.
    """
    headers = files.headers
    hashes = tuple(header.hash for header in headers)
    return Catalog(
        targets=targets,
        names=tuple(files.names),
        hashes=hashes,
        channels=channels or (1 if all(header.grey for header in headers) else 3),
        sizes=bounds([header.width for header in headers], [header.height for header in headers]),
        pixels=FilePixels(tuple(files.paths), hashes, sum(header.bytes for header in headers),
                          sum(header.seconds for header in headers) / THREADS),
        groups=None if groups is None else tuple(groups),
        sealed=None if sealed is None else np.array(sealed, bool),
        attributes=attributes or {},
        left_out=files.left_out,
    )


def bounds(widths: Sequence[int], heights: Sequence[int]) -> tuple[int, int, int, int]:
    """Return least width, least height, greatest width and greatest height."""
    return min(widths), min(heights), max(widths), max(heights)
