"""A CSV file, or rows of the user's own, with a column of image paths and one of mask paths."""

from __future__ import annotations

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import look_at
from trainables.data.masks import Coding, read_masks
from trainables.data.sources.label_file import groups_of, open_table
from trainables.data.sources.listing import catalog_of_files
from trainables.data.sources.table import image_paths
from trainables.tasks import Target


def scan(config: DataConfig) -> Catalog:
    """List the rows of `open_table`; images and masks start from the same folder, and rows may share a mask."""
    table, folder, root = open_table(config, (config.mask_column, "data.mask_column"))
    paths = image_paths(table, config.image_column, folder, root)
    masks = image_paths(table, config.mask_column, folder, root, repeated=True)
    names = [row.cells[config.image_column] for row in table.rows]
    files = look_at(paths, names, config.skip_unreadable)
    groups = groups_of(table, config, files)
    targets = read_masks(target_of(config), coding_of(config), files.of(masks), files.headers, grouped=groups is not None)
    return catalog_of_files(files, targets, channels=config.channels, groups=groups)


def target_of(config: DataConfig) -> Target:
    return Target("segmentation", config.classes, values=config.mask_values or ())


def coding_of(config: DataConfig) -> Coding:
    return Coding(len(config.classes), config.mask_values or (), config.mask_channel, config.ignore_value)
