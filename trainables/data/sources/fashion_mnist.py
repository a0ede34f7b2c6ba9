"""Fashion-MNIST from local IDX files, as torchvision or Debian lay them out; nothing is downloaded.

The format is described at the foot of http://yann.lecun.com/exdb/mnist/: four bytes 0, 0, type (8 is uint8) and number
of dimensions, each dimension as a big-endian int32, then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import data_folder
from trainables.data.sources.in_memory import catalog_of_parts
from trainables.errors import BadInput

CLASSES = (
    "t_shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot",
)  # fmt: skip
FOLDERS = ("", "FashionMNIST/raw", "raw")
MAX_BYTES = 2**30


def scan(config: DataConfig) -> Catalog:
    """Read 60,000 training and 10,000 sealed test images of 28x28."""
    root = data_folder(config.root)
    return catalog_of_parts(config, CLASSES, read_part(root, "train"), read_part(root, "t10k"))


def read_part(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pixels (n, 1, height, width) and labels (n,) of one part."""
    images_file, labels_file = find(root, f"{part}-images-idx3-ubyte"), find(root, f"{part}-labels-idx1-ubyte")
    pixels, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(pixels) != len(labels):
        raise damaged(images_file, f"{len(pixels)} images but {len(labels)} labels")
    return pixels[:, None], labels


def find(root: Path, name: str) -> Path:
    """Return the file ``name`` or ``name.gz`` in one of the usual folders under ``root``."""
    for folder in FOLDERS:
        for file in (root / folder / name, root / folder / f"{name}.gz"):
            if file.is_file():
                return file
    raise BadInput(
        f"no {name}(.gz) in {root}; put Fashion-MNIST's four files there, or in FashionMNIST/raw below it "
        "(Debian: apt install dataset-fashion-mnist, root /usr/share/datasets/fashion-mnist)",
        key="data.root",
    )


def read_idx(file: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an IDX file, plain or gzip; `BadInput` for a damaged one."""
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as stream:
            zero, kind, rank = struct.unpack(">HBB", stream.read(4))
            if (zero, kind, rank) != (0, 8, dimensions):
                raise damaged(file, f"not an IDX file of {dimensions} dimensions")
            shape = struct.unpack(f">{rank}I", stream.read(4 * rank))
            if math.prod(shape) > MAX_BYTES:
                raise damaged(file, f"{math.prod(shape)} bytes are announced")
            values = np.frombuffer(stream.read(math.prod(shape)), np.uint8)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise damaged(file, str(error) or type(error).__name__) from None
    if values.size != math.prod(shape):
        raise damaged(file, f"{values.size} of {math.prod(shape)} bytes are there")
    return values.reshape(shape)


def damaged(file: Path, reason: str) -> BadInput:
    return BadInput(f"damaged ({reason}); fetch the file again", key="data.root", file=str(file))
