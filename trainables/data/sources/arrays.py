"""Images that are arrays: given in memory, or read from an ``.npz`` file such as `numpy.savez` writes."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from trainables.data.catalog import Catalog, content_hash
from trainables.data.config import DataConfig
from trainables.data.files import data_file
from trainables.data.sources.in_memory import ArrayPixels
from trainables.data.targets import Labels, ordered_classes
from trainables.errors import BadInput, first_line
from trainables.files import whole

NEEDED, KNOWN = ("images", "labels"), ("images", "labels", "classes")
MAX_BYTES = 2**34  # of a file's arrays, which are read into memory whole


def scan(config: DataConfig) -> Catalog:
    """Read the file that is the root: ``images`` and ``labels``, and ``classes`` where labels are numbers with names."""
    file = data_file(config.root)
    try:
        return catalog_of_arrays(config, **read_arrays(file))
    except BadInput as problem:
        raise BadInput(problem.message, key="data.root", file=str(file)) from None


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file that have a meaning here, by name; `BadInput` for a damaged one."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise BadInput(f"{size:,} bytes of arrays are more than {MAX_BYTES:,}; write the images to a folder")
        with np.load(file, allow_pickle=False) as arrays:
            if missing := [name for name in NEEDED if name not in arrays]:
                raise BadInput(f"no array {missing[0]!r} in it; write it by `numpy.savez(FILE, images=…, labels=…)`")
            return {name: arrays[name] for name in KNOWN if name in arrays}
    except BadInput:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as problem:
        raise BadInput(f"no arrays can be read from it ({first_line(problem):.100}); write it by `numpy.savez`") from None


def write_arrays(file: Path, catalog: Catalog) -> None:
    """Write the arrays that a catalog was made of, whole or not at all, so that `scan` makes the same one of them."""
    with whole(file) as part, open(part, "wb") as opened:
        np.savez(opened, images=catalog.pixels.array, labels=catalog.labels, classes=np.array(catalog.target.names))


def catalog_of_arrays(config: DataConfig, images: ArrayLike, labels: ArrayLike, classes: ArrayLike | None = None) -> Catalog:
    """Return the catalog of images of one size.

    Args:
        images: uint8 (n, height, width), (n, height, width, 3) or (n, 3, height, width); a 1 may stand for the 3.
        labels: (n,), a name an image or a whole number.
        classes: names of the classes in order, of which numbers are indices; by default the labels as text, in order.

    Raises:
        BadInput: for values, shapes, lengths or labels that are none of these; its key is the argument to blame.
    """
    pixels = as_pixels(images)
    found = as_labels(labels, classes)
    if len(found.labels) != len(pixels):
        raise BadInput(f"labels: {len(found.labels)} for {len(pixels)} images; give one for each", key="labels")
    _, channels, height, width = pixels.shape
    return Catalog(
        targets=found,
        names=tuple(f"images[{row}]" for row in range(len(pixels))),
        hashes=tuple(content_hash(image.data) for image in pixels),
        channels=config.channels or channels,
        sizes=(width, height, width, height),
        pixels=ArrayPixels(pixels),
    )


def as_pixels(images: ArrayLike) -> np.ndarray:
    """Return images as uint8 (n, channels, height, width)."""
    array = as_array("images", images, "one array of images of one size, or write them to a folder")
    if array.dtype != np.uint8:
        mend = "give uint8 from 0 to 255; of floats from 0 to 1 that is `(255 * images).round().astype('uint8')`"
        raise BadInput(f"images: values of type {array.dtype}; {mend}", key="images")
    shape = array.shape
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or not array.size:
        mend = "give (n, height, width), (n, height, width, 3) or (n, 3, height, width)"
        raise BadInput(f"images: shape {shape}; {mend}", key="images")
    return np.ascontiguousarray(array)


def as_labels(labels: ArrayLike, classes: ArrayLike | None) -> Labels:
    """Return labels as indices of classes."""
    array = as_array("labels", labels, "one label an image")
    if array.ndim != 1 or not array.size:
        mend = "give one label an image, (n,); of one-hot rows that is `labels.argmax(1)`"
        raise BadInput(f"labels: shape {array.shape}; {mend}", key="labels")
    values = array.tolist()
    numbers = array.dtype.kind in "iu"
    if not numbers and not all(isinstance(value, str) for value in values):
        raise BadInput(f"labels: values of type {array.dtype}; give whole numbers or names", key="labels")
    if classes is None:
        return Labels.of(list(map(str, values)), ordered_classes(map(str, values)))
    names = tuple(map(str, as_array("classes", classes, "a list of names").tolist()))
    if len(set(names)) < len(names):
        raise BadInput(f"classes: {max(names, key=names.count)!r:.60} stands twice; give each name once", key="classes")
    strange = sorted(set(values) - (set(range(len(names))) if numbers else set(names)))
    if strange:
        known = f"0 to {len(names) - 1}" if numbers else "the names in classes"
        raise BadInput(f"labels: {strange[0]!r:.60} is none of the {len(names)} classes; give {known}", key="labels")
    return Labels(names, array.astype(np.int64)) if numbers else Labels.of(values, names)


def as_array(name: str, values: ArrayLike, wanted: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as problem:
        raise BadInput(f"{name}: no array ({first_line(problem):.80}); give {wanted}", key=name) from None
