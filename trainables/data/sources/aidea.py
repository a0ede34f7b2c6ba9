"""AIdea's competition: train.csv beside train_images/, and test.csv with empty labels beside test_images/."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.data.aoi import CLASSES
from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import data_folder, look_at
from trainables.data.sources.listing import catalog_of_files
from trainables.data.sources.table import Row, Table, image_paths, read_table
from trainables.data.targets import Labels
from trainables.errors import BadInput

IMAGE, LABEL = "ID", "Label"


def scan(config: DataConfig) -> Catalog:
    """List the rows of ``root/train.csv``: columns ID and Label, a whole number that counts `CLASSES` from 0."""
    root = data_folder(config.root)
    folder = root / "train_images"
    table = read_part(root, "train")
    paths = image_paths(table, IMAGE, folder, root)
    names = [os.path.relpath(path, root) for path in paths]
    labels = np.array([label_of(table, row) for row in table.rows], np.int64)
    files = look_at(paths, names, config.skip_unreadable)
    return catalog_of_files(files, Labels(CLASSES, labels[files.rows]), channels=config.channels)


def read_part(root: Path, part: str) -> Table:
    """Read ``train.csv`` or ``test.csv``; `BadInput` where the layout is another one."""
    file, folder = root / f"{part}.csv", root / f"{part}_images"
    for path in (file, folder):
        if not path.exists():
            raise BadInput(
                f"{root} has no {path.name}; the layout is {part}.csv beside {part}_images/", key="data.root"
            )
    return read_table(file, [(IMAGE, "data.root"), (LABEL, "data.root")])


def label_of(table: Table, row: Row) -> int:
    """Return the label of a row; `BadInput` with the line for one that is not a whole number of a class."""
    text = row.cells[LABEL]
    last = len(CLASSES) - 1
    try:
        label = int(text)
    except ValueError:
        raise table.error(f"a non-integer label {text!r}; give a whole number from 0 to {last}", row) from None
    if not 0 <= label <= last:
        raise table.error(f"label {label} names no class; give a whole number from 0 to {last}", row)
    return label


@dataclass(frozen=True)
class Unlabelled:
    """The competition's test rows: a table whose labels are to be filled in, and the image of each row."""

    table: Table
    paths: tuple[Path, ...]

    def filled_in(self, labels: Sequence[int]) -> str:
        """Return the text of test.csv with its Label column filled in, rows and other columns as they were."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.table.columns, delimiter=self.table.delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row.cells, LABEL: int(label)} for row, label in zip(self.table.rows, labels, strict=True))
        return text.getvalue()


def unlabelled(root: str | Path) -> Unlabelled:
    """Return the rows of ``root/test.csv`` and their images under ``root/test_images``; `BadInput` as for `scan`."""
    folder = data_folder(str(root))
    table = read_part(folder, "test")
    return Unlabelled(table, tuple(image_paths(table, IMAGE, folder / "test_images", folder)))
