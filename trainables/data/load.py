"""From rows to pixels: decode once with a few threads, resized to every size that the search may ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from trainables.data.arrays import Images, TrialData, open_mapped
from trainables.data.catalog import Catalog
from trainables.data.decode import Unreadable, quiet_pillow, resize
from trainables.data.files import in_threads, read_image, refuse_unreadable
from trainables.data.residence import Residence, decoded_bytes, host_limit, residence
from trainables.data.split import Split
from trainables.errors import BadInput
from trainables.files import whole

SMALL_PIXELS = 64**2  # largest image below which threads cost more than they gain


def load_image(path: Path, size: int, channels: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the uint8 pixels (channels, size, size) of one file, made exactly as those that were trained on.

    Beside them stand the width and the height that the image itself has.

    Raises `BadInput` naming the file where it cannot be read.
    """
    try:
        with quiet_pillow():
            image = read_image(path)
            return resize(image, size, channels), image.size
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
    decode_into(pixels, catalog, rows, channels, cache)
    return pixels


def decode_into(
    pixels: Mapping[int, np.ndarray], catalog: Catalog, rows: Sequence[int], channels: int, cache: Path | None
) -> None:
    """Decode some rows once and write them, resized, to the array of each size; raises as `load_sizes` does."""
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


def map_sizes(catalog: Catalog, rows: np.ndarray, paths: Mapping[int, Path], cache: Path) -> dict[int, np.ndarray]:
    """Return what `load_sizes` does, from one mapped ``.npy`` file a size, decoded where none is there or it is damaged."""
    shapes = {size: (len(rows), catalog.channels, size, size) for size in paths}
    kept = {size: open_mapped(path, shapes[size]) for size, path in paths.items()}
    missing = [size for size, array in kept.items() if array is None]
    if not missing:
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        parts = {size: stack.enter_context(whole(paths[size])) for size in missing}
        pixels = {size: np.lib.format.open_memmap(part, "w+", np.uint8, shapes[size]) for size, part in parts.items()}
        decode_into(pixels, catalog, rows.tolist(), catalog.channels, cache)
        for array in pixels.values():
            array.flush()
    return kept | {size: np.load(paths[size], mmap_mode="r", allow_pickle=False) for size in missing}


def mapped(array: np.ndarray, path: Path) -> np.ndarray:
    """Return ``array`` from a mapped ``.npy`` file, written now."""
    with whole(path) as part, open(part, "wb") as file:
        np.save(file, array)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def trial_data(
    catalog: Catalog, split: Split, sizes: Sequence[int], cache: Path | None = None, limit: int | None = None
) -> dict[int, TrialData]:
    """Return for each image size what trials are given: pool and validation, without the sealed rows.

    Args:
        cache: folder for generated images, and for pixels that are too many for memory; workers on other machines
            must see it too.
        limit: bytes of pixels beyond which they are decoded to files there; by default a share of this host's memory.
    """
    keys = {size: data_key(catalog, split, size) for size in sizes}
    decoded = sum(decoded_bytes(len(split.pool) + len(split.val), catalog.planes, size) for size in sizes)
    limit = host_limit() if limit is None else limit
    to_files = cache is not None and residence(decoded, host=limit, device=None) is Residence.FILE

    def load(name: str, rows: np.ndarray) -> dict[int, np.ndarray]:
        if not to_files:
            return load_sizes(catalog, rows, sizes, catalog.channels, cache)
        return map_sizes(catalog, rows, {size: cache / f"{key}-{name}.npy" for size, key in keys.items()}, cache)

    def targets(name: str, rows: np.ndarray, size: int) -> np.ndarray:
        array = catalog.targets.array(rows, size)
        return mapped(array, cache / f"{keys[size]}-{name}-masks.npy") if to_files and catalog.target.maps else array

    pool, val = load("pool", split.pool), load("val", split.val)
    return {
        size: TrialData(
            pool=Images(pool[size], targets("pool", split.pool, size)),
            val=Images(val[size], targets("val", split.val, size)),
            target=catalog.target,
            size=size,
            channels=catalog.channels,
            key=key,
        )
        for size, key in keys.items()
    }


def data_key(catalog: Catalog, split: Split, size: int) -> str:
    """Return what names one trial's data, whatever the files are called; the sealed rows have no part in it."""
    marks = catalog.targets.marks()
    digest = hashlib.blake2b(repr((catalog.target, catalog.channels)).encode(), digest_size=8)
    for rows in (split.pool, split.val):
        digest.update(len(rows).to_bytes(8, "little") + b"".join(catalog.hashes[row] for row in rows.tolist()))
        digest.update(repr([marks[row] for row in rows.tolist()]).encode())
    return f"{digest.hexdigest()}-{size}"
