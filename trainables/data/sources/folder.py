"""A folder a class: the name of each folder directly under the root is the class of the images below it."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import data_folder, list_images, look_at
from trainables.data.sources.listing import catalog_of_files
from trainables.data.targets import Labels, ordered_classes
from trainables.errors import BadInput


def scan(config: DataConfig) -> Catalog:
    """List ``root/CLASS/**/image`` and, with ``test_root``, the sealed rows of the same classes there."""
    root = data_folder(config.root)
    rows = list_rows(root, "data.root")
    classes = ordered_classes(child.name for child in class_folders(root))
    sealed = None
    if config.test_root is not None:
        test_root = data_folder(config.test_root, "data.test_root")
        test_rows = list_rows(test_root, "data.test_root")
        check_same(classes, ordered_classes(child.name for child in class_folders(test_root)), test_root)
        sealed = [False] * len(rows) + [True] * len(test_rows)
        rows = rows + test_rows
    paths, row_classes = zip(*rows)
    names = [os.path.relpath(path, root) for path in paths]
    files = look_at(paths, names, config.skip_unreadable)
    labels = Labels.of(files.of(row_classes), classes)
    return catalog_of_files(files, labels, channels=config.channels, sealed=sealed and files.of(sealed))


def class_folders(root: Path) -> list[Path]:
    """Return the folders directly under ``root``, hidden ones left out."""
    return sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))


def list_rows(root: Path, key: str) -> list[tuple[Path, str]]:
    """Return path and class of every image under the class folders of ``root``; `BadInput` where there is none."""
    folders = class_folders(root)
    rows = [(path, folder.name) for folder in folders for path in list_images(folder, root, key)]
    if not rows:
        where = f"none of its {len(folders)} folders holds an image" if folders else "it holds no folder"
        raise BadInput(
            f"{root} is empty of classes: {where}; put the images of each class in a folder of its own", key=key
        )
    return rows


def check_same(classes: tuple[str, ...], test_classes: tuple[str, ...], test_root: Path) -> None:
    """Raise `BadInput` where the second folder has other classes than the first."""
    if other := sorted(set(classes) ^ set(test_classes)):
        raise BadInput(
            f"class {other[0]!r} stands in only one of root and {test_root}; give both the same class folders",
            key="data.test_root",
        )
