"""The kinds of data set, one a file: each a function from `DataConfig` to `Catalog`, imported when it is used."""

from __future__ import annotations

import importlib

from trainables.data.catalog import Catalog
from trainables.data.config import OWN, DataConfig

READERS = {
    "classification": {
        "aoi": "trainables.data.sources.generated",
        "folder": "trainables.data.sources.folder",
        "csv": "trainables.data.sources.label_file",
        "arrays": "trainables.data.sources.arrays",
        "aidea": "trainables.data.sources.aidea",
        "elpv": "trainables.data.sources.elpv",
        "fashion_mnist": "trainables.data.sources.fashion_mnist",
        "cifar10": "trainables.data.sources.cifar10",
        OWN: "trainables.data.sources.label_file",
    },
    "landmarks": {
        "csv": "trainables.data.sources.point_file",
        OWN: "trainables.data.sources.point_file",
    },
    "segmentation": {
        "csv": "trainables.data.sources.mask_file",
        "folder": "trainables.data.sources.mask_folder",
        OWN: "trainables.data.sources.mask_file",
    },
}


def scan(config: DataConfig) -> Catalog:
    """List the rows of a data set and check that they can be used, without decoding more than that needs.

    Raises `BadInput` for a folder or file that is missing, empty or damaged, for wrong labels and for too few images.
    """
    return importlib.import_module(READERS[config.task][config.kind]).scan(config)
