"""Rows from a function of the user's own, ``source: module:function``, instead of from a label file.

It is called with the folder of the data set and returns or yields a dict for each image. The keys are the columns that a label
file would have, so that all three tasks read it as they read such a file.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from trainables import own
from trainables.data.sources.table import Row, Table, check_columns
from trainables.errors import BadInput

CALL = ("root",)
KEY = "data.source"
VALUES = (str, PurePath, numbers.Number, np.generic)


def call_table(source: str, folder: Path, root: Path, columns: Sequence[tuple[str, str]]) -> Table:
    """Call the function that ``source`` names with the data set's ``root``, and return its rows.

    Args:
        folder: from which paths start; one that is given whole becomes relative to it.
        columns: as in `read_table`.

    Raises:
        BadInput: the function cannot be imported or called, or fails; its rows are none, not dicts, or not alike.
    """
    given = call(source, root)
    table = Table(source, None, tuple(given[0]) if isinstance(given[0], Mapping) else (), ())
    rows = [Row(number, cells(table, number, found, folder)) for number, found in enumerate(given, 1)]
    check_columns(table, columns)
    return Table(source, None, table.columns, tuple(rows))


def call(source: str, root: Path) -> list[Any]:
    """Return all that the function gives, at least one thing; whatever it raises is the user's mistake."""
    function = own.function(source, CALL, KEY)
    try:
        found = function(root=root)
        rows = list(found) if isinstance(found, Iterable) else None
    except Exception as problem:  # the boundary to foreign code, which may raise anything, also while it yields
        raise BadInput(f"{source} fails: {own.blame(problem)}; mend it", key=KEY) from None
    if rows is None:
        raise BadInput(f"{source} returns {type(found).__name__}, not rows; return or yield a dict for each image", key=KEY)
    if not rows:
        raise BadInput(f"{source} gives no rows for {root}; return or yield a dict for each image", key=KEY)
    return rows


def cells(table: Table, number: int, given: Any, folder: Path) -> dict[str, str]:
    """Return the cells of a row as a label file would hold them, by the columns of the first row."""
    row = Row(number, {})
    if not isinstance(given, Mapping):
        raise table.error(f"{type(given).__name__}, not a dict; return or yield a dict for each image", row, KEY)
    if strange := [key for key in given if not isinstance(key, str)]:
        raise table.error(f"key {strange[0]!r:.80} is not text; name columns such as 'image'", row, KEY)
    if odd := sorted(given.keys() ^ set(table.columns)):
        what = f"only one of this row and row 1 has the key {odd[0]!r:.80}"
        raise table.error(f"{what}; give every row the same keys, and None where there is nothing", row, KEY)
    return {column: cell(table, row, column, given[column], folder) for column in table.columns}


def cell(table: Table, row: Row, column: str, value: Any, folder: Path) -> str:
    """Return a value as text: nothing for None and NaN, a whole path inside ``folder`` as one relative to it."""
    if value is None:
        return ""
    if not isinstance(value, VALUES):
        what = f"{type(value).__name__} in column {column!r}"
        raise table.error(f"{what}; give text, a number, a path, or None for nothing", row, KEY)
    if isinstance(value, PurePath):
        return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
    return "" if value != value else str(value).strip()
