"""A CSV file, or rows of the user's own, with a column of image paths and two for each point: x0, y0, x1, y1 and so on."""

from __future__ import annotations

import math
import re

import numpy as np

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import Files, look_at
from trainables.data.points import Points
from trainables.data.sources.label_file import groups_of, open_table
from trainables.data.sources.listing import catalog_of_files
from trainables.data.sources.table import Row, Table, image_paths
from trainables.data.targets import images
from trainables.errors import BadInput
from trainables.tasks import Target

OUTSIDE = 0.05  # share of the points that may lie outside their image; more are hardly slips of the hand


def scan(config: DataConfig) -> Catalog:
    """List the rows of `open_table`: points in pixels of the upright image, an empty cell or ``nan`` where one is missing."""
    table, folder, root = open_table(config)
    numbers = point_numbers(table)
    target = Target("landmarks", tuple(map(str, range(numbers))), checked_pairs(config.flip_pairs or (), numbers))
    paths = image_paths(table, config.image_column, folder, root)
    names = [row.cells[config.image_column] for row in table.rows]
    places = np.array([places_of(table, row, numbers) for row in table.rows])
    files = look_at(paths, names, config.skip_unreadable)
    places = places[files.rows]
    extents = np.array([(header.width, header.height) for header in files.headers])
    require_seen(table, places)
    points = Points(target, places, extents, look_outside(table, files, places))
    return catalog_of_files(files, points, channels=config.channels, groups=groups_of(table, config, files))


def point_numbers(table: Table) -> int:
    """Return how many points the header names; `BadInput` where a column of one is missing."""
    found = {name for name in table.columns if re.fullmatch(r"[xy]\d+", name)}
    count = 1 + max((int(name[1:]) for name in found), default=0)
    for name in (f"{axis}{number}" for number in range(count) for axis in "xy"):
        if name not in found:
            raise table.error(f"no column {name!r}; points are columns x0, y0, x1, y1 and so on, two for each")
    return count


def checked_pairs(pairs: tuple[tuple[int, int], ...], count: int) -> tuple[tuple[int, int], ...]:
    """Return ``pairs``; `BadInput` for a number that no point has."""
    for number in (number for pair in pairs for number in pair):
        if number >= count:
            wrong = f"there is no point {number}; there are points 0 to {count - 1}"
            raise BadInput(wrong, key="data.flip_pairs")
    return pairs


def places_of(table: Table, row: Row, count: int) -> list[tuple[float, float]]:
    """Return x and y of each point of a row, NaN where it is missing."""
    places = []
    for number in range(count):
        x, y = (coordinate(table, row, f"{axis}{number}") for axis in "xy")
        if math.isnan(x) != math.isnan(y):
            raise table.error(f"only one of 'x{number}' and 'y{number}' is given; give both, or neither for a missing point", row)
        places.append((x, y))
    return places


def coordinate(table: Table, row: Row, column: str) -> float:
    """Return the number in a cell, NaN for an empty one; `BadInput` with the line for anything else."""
    text = row.cells[column]
    try:
        value = float(text or "nan")
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise table.error(f"{text!r} in column {column!r} is no coordinate; give pixels, or nothing for a missing point", row)
    return value


def require_seen(table: Table, places: np.ndarray) -> None:
    """Raise `BadInput` for a point that every row lacks."""
    seen = np.isfinite(places).all(2).any(0)
    if not seen.all():
        number = int(seen.argmin())
        raise table.error(f"point {number} is missing in every row; remove the columns 'x{number}' and 'y{number}'")


def look_outside(table: Table, files: Files, places: np.ndarray) -> tuple[str, ...]:
    """Return a warning that counts the points outside their image, if any; `BadInput` where they are too many.

    An image reaches from -1/2 to its width, which allows both for points in the middle of pixels and at their corners.
    """
    extents = np.array([(header.width, header.height) for header in files.headers])[:, None]
    outside = ((places < -0.5) | (places > extents)).any(2)
    if not outside.any():
        return ()
    row, number = np.argwhere(outside)[0].tolist()
    (x, y), (width, height) = places[row, number].tolist(), extents[row, 0].tolist()
    total = int(np.isfinite(places).all(2).sum())
    rows = images(int(outside.any(1).sum()))
    what = (f"{int(outside.sum())} of {total} points in {rows} lie outside their image, first x{number},y{number} of "
            f"{files.names[row]} at {x:g},{y:g} in {width}x{height}")
    if outside.sum() > OUTSIDE * total:
        raise table.error(f"{what}; mend them, are x and y exchanged?", table.rows[files.rows[row]])
    return (f"{what}; they are trained on as they are",)
