"""Two parallel folders: the mask of an image has its path, but for the suffix, below the other folder."""

from __future__ import annotations

import os

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import data_folder, list_images, look_at
from trainables.data.masks import read_masks
from trainables.data.sources.listing import catalog_of_files
from trainables.data.sources.mask_file import coding_of, target_of
from trainables.errors import BadInput


def scan(config: DataConfig) -> Catalog:
    """List the images below ``root`` with the mask of each below ``mask_root``."""
    root, mask_root = data_folder(config.root), data_folder(config.mask_root, "data.mask_root")
    paths = list_images(root, root)
    if not paths:
        raise BadInput(f"{root} holds no image; give the folder of the images", key="data.root")
    names = [os.path.relpath(path, root) for path in paths]
    found = list_images(mask_root, mask_root, "data.mask_root")
    mask_of = {os.path.splitext(os.path.relpath(path, mask_root))[0]: path for path in found}
    missing = [name for name in names if os.path.splitext(name)[0] not in mask_of]
    if missing:
        raise BadInput(
            f"{len(missing)} of {len(names)} images have no mask in {mask_root}, first {missing[0]}; "
            "add masks of the same names or remove the images",
            key="data.mask_root",
        )
    files = look_at(paths, names, config.skip_unreadable)
    masks = [mask_of[os.path.splitext(name)[0]] for name in files.names]
    targets = read_masks(target_of(config), coding_of(config), masks, files.headers, grouped=False)
    return catalog_of_files(files, targets, channels=config.channels)
