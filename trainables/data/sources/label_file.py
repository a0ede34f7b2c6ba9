"""A CSV file with a column of image paths and one of labels, in the data folder beside the images; or rows of the same."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.data.catalog import Catalog
from trainables.data.config import OWN, DataConfig
from trainables.data.files import Files, data_folder, is_inside, look_at
from trainables.data.sources.listing import catalog_of_files
from trainables.data.sources.own_rows import call_table
from trainables.data.sources.table import Table, filled, filled_labels, image_paths, read_table
from trainables.data.targets import Labels, ordered_classes
from trainables.errors import BadInput


def scan(config: DataConfig) -> Catalog:
    """List the rows of `open_table`; labels may be text or whole numbers, and become classes in that order."""
    table, folder, root = open_table(config, (config.label_column, "data.label_column"))
    paths = image_paths(table, config.image_column, folder, root)
    names = [row.cells[config.image_column] for row in table.rows]
    row_classes = filled_labels(table, config.label_column)
    files = look_at(paths, names, config.skip_unreadable)
    labels = Labels.of(files.of(row_classes), ordered_classes(row_classes))
    return catalog_of_files(files, labels, channels=config.channels, groups=groups_of(table, config, files))


def open_table(config: DataConfig, *columns: tuple[str, str]) -> tuple[Table, Path, Path]:
    """Return the label file, or the rows of a user's function in its place; the folder from which its paths start; the root.

    Args:
        columns: names of columns that it needs beside those of images and groups, each with its key of the space file.
    """
    root = data_folder(config.root)
    file, folder = (place_inside(root, config, key, noun) for key, noun in (("labels", "file"), ("image_folder", "folder")))
    columns = ((config.image_column, "data.image_column"), *columns)
    if config.group_column is not None:
        columns = (*columns, (config.group_column, "data.group_column"))
    table = call_table(config.source, folder, root, columns) if config.kind == OWN else read_table(file, columns)
    return table, folder, root


def place_inside(root: Path, config: DataConfig, key: str, noun: str) -> Path:
    """Return what ``key`` of the data section names inside ``root``, which is the root where it names nothing."""
    text = getattr(config, key) or ""
    if os.path.isabs(text) or not is_inside(root / text, root):
        raise BadInput(f"{key}: {text} leaves the data folder; give a {noun} inside it", key=f"data.{key}")
    return root / text


def groups_of(table: Table, config: DataConfig, files: Files) -> list[str] | None:
    """Return the group of each file of the rows, or None where no column of groups is named."""
    return None if config.group_column is None else files.of(filled(table, config.group_column))
