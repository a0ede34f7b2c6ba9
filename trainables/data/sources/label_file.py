"""A CSV file with a column of image paths and one of labels, in the data folder beside the images."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import data_folder, is_inside, read_headers
from trainables.data.sources.listing import catalog_of_files
from trainables.data.sources.table import Table, filled, image_paths, read_table
from trainables.data.targets import Labels, ordered_classes
from trainables.errors import BadInput


def scan(config: DataConfig) -> Catalog:
    """List the rows of ``root/labels``; labels may be text or whole numbers, and become classes in that order."""
    table, folder, root = open_table(config, (config.label_column, "data.label_column"))
    paths = image_paths(table, config.image_column, folder, root)
    names = [row.cells[config.image_column] for row in table.rows]
    row_classes = filled(table, config.label_column)
    return catalog_of_files(
        paths,
        names,
        read_headers(paths, names),
        Labels.of(row_classes, ordered_classes(row_classes)),
        channels=config.channels,
        groups=groups_of(table, config),
    )


def open_table(config: DataConfig, *columns: tuple[str, str]) -> tuple[Table, Path, Path]:
    """Return the label file, the folder from which its paths start, and the root.

    Args:
        columns: names of columns that it needs beside those of images and groups, each with its key of the space file.
    """
    root = data_folder(config.root)
    file, folder = root / config.labels, root / (config.image_folder or "")
    for path, text, key in ((file, config.labels, "labels"), (folder, config.image_folder, "image_folder")):
        if text is not None and (os.path.isabs(text) or not is_inside(path, root)):
            raise BadInput(f"{key}: {text} leaves the data folder; give a {'file' if path is file else 'folder'} inside it",
                           key=f"data.{key}")
    columns = ((config.image_column, "data.image_column"), *columns)
    if config.group_column is not None:
        columns = (*columns, (config.group_column, "data.group_column"))
    return read_table(file, columns), folder, root


def groups_of(table: Table, config: DataConfig) -> list[str] | None:
    """Return the group of each row, or None where no column of groups is named."""
    return None if config.group_column is None else filled(table, config.group_column)
