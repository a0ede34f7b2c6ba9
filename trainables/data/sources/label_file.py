"""A CSV file with a column of image paths and one of labels, in the data folder beside the images."""

from __future__ import annotations

import os

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import data_folder, is_inside, read_headers
from trainables.data.sources.listing import catalog_of_files
from trainables.data.sources.table import filled, image_paths, read_table
from trainables.data.targets import Labels, ordered_classes
from trainables.errors import BadInput


def scan(config: DataConfig) -> Catalog:
    """List the rows of ``root/labels``; labels may be text or whole numbers, and become classes in that order."""
    root = data_folder(config.root)
    file = root / config.labels
    if os.path.isabs(config.labels) or not is_inside(file, root):
        raise BadInput(f"labels: {config.labels} leaves the data folder; give a file inside it", key="data.labels")
    columns = [(config.image_column, "data.image_column"), (config.label_column, "data.label_column")]
    if config.group_column is not None:
        columns.append((config.group_column, "data.group_column"))
    table = read_table(file, columns)
    paths = image_paths(table, config.image_column, root, root)
    names = [row.cells[config.image_column] for row in table.rows]
    row_classes = filled(table, config.label_column)
    return catalog_of_files(
        paths,
        names,
        read_headers(paths, names),
        Labels.of(row_classes, ordered_classes(row_classes)),
        channels=config.channels,
        groups=filled(table, config.group_column) if config.group_column is not None else None,
    )
