"""From rows to pixels: decode once with a few threads, resized to every size that the search may ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainables.data.arrays import Images, TrialData
from trainables.data.catalog import Catalog
from trainables.data.decode import Unreadable, quiet_pillow, resize
from trainables.data.files import in_threads, read_image, refuse_unreadable
from trainables.data.split import Split
from trainables.errors import BadInput

SMALL_PIXELS = 64**2  # largest image below which threads cost more than they gain


def load_image(path: Path, size: int, channels: int) -> np.ndarray:
    """Return the uint8 pixels (channels, size, size) of one file, made exactly as those that were trained on.

    Raises `BadInput` naming the file where it cannot be read.
    """
    try:
        with quiet_pillow():
            return resize(read_image(path), size, channels)
    except Unreadable as reason:
        raise BadInput(f"cannot be read as an image: {reason}", file=str(path)) from None


def load_rows(
    catalog: Catalog, rows: Sequence[int] | np.ndarray, size: int, channels: int, cache: Path | None = None
) -> np.ndarray:
    """Return the uint8 pixels (rows, channels, size, size) of some rows; see `load_sizes`."""
    return load_sizes(catalog, rows, [size], channels, cache)[size]


def load_sizes(
    catalog: Catalog,
    rows: Sequence[int] | np.ndarray,
    sizes: Sequence[int],
    channels: int,
    cache: Path | None = None,
) -> dict[int, np.ndarray]:
    """Decode some rows once and resize them to each of ``sizes``.

    Args:
        rows: indices into the catalog; the pixels come in their order.
        sizes: sides in pixels.
        channels: 1 for grey or 3 for colour.
        cache: folder in which generated images are kept.

    Returns:
        For each size uint8 pixels (rows, channels, size, size).

    Raises:
        BadInput: naming the first file that cannot be decoded or is gone, and how many there are.
    """
    rows = np.asarray(rows, np.int64).tolist()
    pixels = {size: np.empty((len(rows), channels, size, size), np.uint8) for size in sizes}
    read = catalog.pixels.reader(cache)

    def load(place: int) -> Unreadable | None:
        try:
            image = read(rows[place])
        except Unreadable as reason:
            return reason
        for size, array in pixels.items():
            array[place] = resize(image, size, channels)
        return None

    with quiet_pillow():
        reasons = in_threads(load, range(len(rows)), small=catalog.sizes[2] * catalog.sizes[3] < SMALL_PIXELS)
    refuse_unreadable([catalog.names[row] for row in rows], reasons)
    return pixels


def trial_data(catalog: Catalog, split: Split, sizes: Sequence[int], cache: Path | None = None) -> dict[int, TrialData]:
    """Return for each image size what trials are given: pool and validation, without the sealed rows."""
    pixels = load_sizes(catalog, np.concatenate([split.pool, split.val]), sizes, catalog.channels, cache)
    cut = len(split.pool)
    return {
        size: TrialData(
            pool=Images(array[:cut], catalog.labels[split.pool]),
            val=Images(array[cut:], catalog.labels[split.val]),
            classes=catalog.classes,
            size=size,
            channels=catalog.channels,
            key=data_key(catalog, split, size),
        )
        for size, array in pixels.items()
    }


def data_key(catalog: Catalog, split: Split, size: int) -> str:
    """Return what names one trial's data, whatever the files are called; the sealed rows have no part in it."""
    digest = hashlib.blake2b(repr((catalog.classes, catalog.channels)).encode(), digest_size=8)
    for rows in (split.pool, split.val):
        digest.update(len(rows).to_bytes(8, "little") + b"".join(catalog.hashes[row] for row in rows.tolist()))
        digest.update(catalog.labels[rows].tobytes())
    return f"{digest.hexdigest()}-{size}"
