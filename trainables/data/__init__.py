"""Images and their rows: sources, one sealed split, decoded arrays. Free of torch but for `trainables.data.cache`."""

from __future__ import annotations

from trainables.data.arrays import Images, TrialData
from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.load import load_image, load_rows, load_sizes, trial_data
from trainables.data.sources import scan
from trainables.data.sources.aidea import Unlabelled, unlabelled
from trainables.data.split import Split, split

__all__ = [
    "Catalog",
    "DataConfig",
    "Images",
    "Split",
    "TrialData",
    "Unlabelled",
    "load_image",
    "load_rows",
    "load_sizes",
    "scan",
    "split",
    "trial_data",
    "unlabelled",
]
