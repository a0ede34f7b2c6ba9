"""Images in memory as the data of a search: they are kept in its folder, where all that comes later finds them."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

from numpy.typing import ArrayLike

from search.errors import SpaceError
from search.space import Space, read_space
from trainables.data import Catalog
from trainables.data.sources.arrays import catalog_of_arrays, write_arrays
from trainables.errors import BadInput

FILE = "images.npz"
CALL = "run_search"  # where a mistake stands


def with_images(space: Space, folder: Path, images: ArrayLike | None, labels: ArrayLike | None, classes: ArrayLike | None
                ) -> tuple[Space, Catalog]:
    """Return ``space`` over the given images, and their catalog; writes nothing.

    They take the place of the data's source; its shares, seed and channels stay. The images are as `catalog_of_arrays`
    takes them.

    Args:
        folder: of the search, in which they are going to be.

    Raises:
        SpaceError: they cannot be used, or the space file has a key of another source.
    """
    document = copy.deepcopy(space.document)
    document.values["data"] = {**(document.values.get("data") or {}), "source": "arrays", "root": str(folder / FILE)}
    document.places |= dict.fromkeys(("data.source", "data.root", "images", "labels", "classes"), CALL)
    try:
        space = read_space(document)
        return space, catalog_of_arrays(space.data, images, labels, classes)
    except BadInput as problem:
        raise SpaceError.of(problem, document.where) from None


def keep(catalog: Catalog, folder: Path) -> None:
    """Write the images of a search to its folder."""
    write_arrays(folder / FILE, catalog)


def found_again(space: Space, folder: Path) -> Space:
    """Return the ``space`` of a record with its images where its folder is now, if they are kept there."""
    file = folder / FILE
    if space.data.source != "arrays" or not file.exists():
        return space
    return dataclasses.replace(space, data=dataclasses.replace(space.data, root=str(file)))
