"""CIFAR-10 from the local folder `cifar-10-batches-py`, as torchvision lays it out; nothing is downloaded.

The batches are pickles, and a pickle may name code to run. They are read with every name it may use replaced by
`Recorded`, which runs nothing: the pixels are then taken from the bytes that were recorded.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import data_folder
from trainables.data.sources.in_memory import catalog_of_parts
from trainables.errors import BadInput

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
SHAPE = (3, 32, 32)
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = ("test_batch",)


def scan(config: DataConfig) -> Catalog:
    """Read 50,000 training and 10,000 sealed test images of 32x32."""
    root = data_folder(config.root)
    folder = root if root.name == FOLDER else root / FOLDER
    return catalog_of_parts(config, CLASSES, read_part(folder, TRAIN), read_part(folder, TEST))


def read_part(folder: Path, batches: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pixels (n, 3, 32, 32) and labels (n,) of some batches."""
    pixels, labels = zip(*(read_batch(folder / batch) for batch in batches))
    return np.concatenate(pixels), np.concatenate(labels)


def read_batch(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and labels of one batch; `BadInput` for one that is missing or damaged."""
    try:
        with open(file, "rb") as stream:
            batch = BatchUnpickler(stream, encoding="bytes").load()
        pixels, labels = array(batch[b"data"]).reshape(-1, *SHAPE), np.array(batch[b"labels"], np.int64)
    except FileNotFoundError:
        raise BadInput(f"no {file}; unpack cifar-10-python.tar.gz in the root", key="data.root") from None
    except DAMAGED as error:
        raise damaged(file, str(error) or type(error).__name__) from None
    if labels.shape != (len(pixels),):
        raise damaged(file, f"{len(pixels)} images but labels of shape {labels.shape}")
    return pixels, labels


# What the unpickler and the look into its result raise for a file that is not a batch.
DAMAGED = (OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError, IndexError, TypeError, AttributeError)


class Recorded:
    """Stands for any object that a batch may hold: keeps what it would be made of."""

    def __init__(self, *args: Any):
        self.args, self.state = args, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def latin1(text: str, encoding: str) -> bytes:
    """Stand for `_codecs.encode`, by which Python 3 writes bytes into old pickles."""
    return text.encode("latin1")


class BatchUnpickler(pickle.Unpickler):
    """Reads plain containers, numbers and bytes; numpy's arrays become `Recorded`, anything else is refused."""

    NAMES = {
        ("numpy.core.multiarray", "_reconstruct"): Recorded,
        ("numpy._core.multiarray", "_reconstruct"): Recorded,
        ("numpy", "ndarray"): Recorded,
        ("numpy", "dtype"): Recorded,
        ("_codecs", "encode"): latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return self.NAMES[module, name]


def array(recorded: Recorded) -> np.ndarray:
    """Return the uint8 array that a recorded one stands for: its state is version, shape, dtype, order, bytes."""
    _, shape, dtype, fortran, content = recorded.state
    if dtype.args[0] not in ("u1", b"u1") or fortran:
        raise ValueError(f"the pixels are {dtype.args[0]!r}, not rows of bytes")
    return np.frombuffer(content, np.uint8).reshape(shape)


def damaged(file: Path, reason: str) -> BadInput:
    return BadInput(f"damaged ({reason}); unpack cifar-10-python.tar.gz again", key="data.root", file=str(file))
