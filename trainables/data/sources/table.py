"""Label files: delimited text with a header, read with the line of every row so that a mistake can be shown.

A user's function may give the same rows without a file, see `own_rows`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.config import did_you_mean
from trainables.data.files import is_inside, is_special
from trainables.data.targets import UNSHOWN, is_unshown
from trainables.errors import BadInput

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """One row of a table: its line, or its number where there is no file, from 1; its cells by column, stripped of blanks."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A label file: its rows, the delimiter it uses and its columns in order.

    Where a user's function gave the rows, ``file`` is its import path, and there is no delimiter.
    """

    file: Path | str
    delimiter: str | None
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def noun(self) -> str:
        """What the number of a row counts."""
        return "row" if self.delimiter is None else "line"

    def error(self, message: str, row: Row | None = None, key: str = "data.root") -> BadInput:
        if self.delimiter is None:
            return BadInput(message, key=key, file=f"{self.file}, row {row.line}" if row else str(self.file))
        return BadInput(message, key=key, file=str(self.file), line=row.line if row else 1)


def read_table(file: Path, columns: Sequence[tuple[str, str]]) -> Table:
    """Read a label file in UTF-8 (with or without a byte-order mark), delimited by comma, semicolon or tab.

    Args:
        file: the label file.
        columns: names of the columns that must be there, each with the key of the space file that gave it.

    Raises:
        BadInput: for a file that cannot be read or is empty, a column that is missing, a row of the wrong length.
    """
    lines = read_lines(file)
    delimiter = max(DELIMITERS, key=lines[0].count)
    reader = csv.reader(lines, delimiter=delimiter)
    header = tuple(name.strip() for name in next(reader))
    table = Table(file, delimiter, header, ())
    if len(set(header)) < len(header):
        name = next(name for name in header if header.count(name) > 1)
        raise table.error(f"column {name!r} stands twice in the header; rename one of the two")
    check_columns(table, columns)
    rows = []
    try:
        for cells in reader:
            row = Row(reader.line_num, dict(zip(header, (cell.strip() for cell in cells))))
            if cells and len(cells) != len(header):
                raise table.error(f"{len(cells)} cells where the header has {len(header)}; complete the row", row)
            rows += [row] if cells else []
    except csv.Error as error:
        raise table.error(f"not readable as delimited text ({error})", Row(reader.line_num, {})) from None
    if not rows:
        raise table.error("no rows below the header; list one image a line")
    return Table(file, delimiter, header, tuple(rows))


def check_columns(table: Table, columns: Sequence[tuple[str, str]]) -> None:
    """Raise `BadInput` for a column that cannot be shown, or one of ``columns`` that is missing; see `read_table`."""
    for name in table.columns:
        if not name.isprintable():
            raise table.error(f"column {name!r} holds a control character; rename it")
    for name, key in columns:
        if name not in table.columns:
            raise table.error(f"no column {name!r}; {did_you_mean(name, table.columns)}", key=key)


def read_lines(file: Path) -> list[str]:
    """Return the lines of a label file with their ends kept; `BadInput` where there is nothing to read."""
    if is_special(file):
        raise BadInput("the label file is not a file but a FIFO or a device; give a file", key="data.labels", file=str(file))
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            lines = list(text)
    except OSError as error:
        raise BadInput(f"cannot read the label file: {error.strerror}", key="data.labels", file=str(file)) from None
    except UnicodeDecodeError:
        raise BadInput(
            "the label file is not UTF-8 text; save it as UTF-8", key="data.labels", file=str(file)
        ) from None
    if not any(line.strip() for line in lines):
        raise BadInput("the label file is empty; its first line names the columns", key="data.labels", file=str(file))
    if not lines[0].strip():
        raise BadInput("blank, where the columns should be named; remove the line", key="data.labels", file=str(file), line=1)
    return lines


def image_paths(table: Table, column: str, folder: Path, root: Path, *, repeated: bool = False) -> list[Path]:
    """Return the image of every row, a path relative to ``folder``; ``repeated`` allows the same one in several rows.

    Raises:
        BadInput: with the line, for a path that leaves ``root``, an image listed twice or images that are missing.
    """
    seen: dict[str, int] = {}
    paths, missing = [], []
    for row in table.rows:
        name = row.cells[column]
        path = inside_path(table, row, name, folder, root)
        if name in seen and not repeated:
            raise table.error(f"{name!r} already stands on {table.noun} {seen[name]}; keep one of the two", row)
        seen[name] = row.line
        paths.append(path)
        if not os.path.isfile(path):
            missing.append(row)
    if missing:
        name = missing[0].cells[column]
        raise table.error(
            f"no image {name!r} under {folder} ({len(missing)} of {len(table.rows)} rows name a missing image); "
            "add the files or remove the rows",
            missing[0],
        )
    return paths


def inside_path(table: Table, row: Row, name: str, folder: Path, root: Path) -> Path:
    """Return ``folder / name``; `BadInput` for an empty name and for one that leads out of ``root``."""
    if not name or "\0" in name:
        raise table.error("no image path; give one relative to the data folder", row)
    path = folder / name
    if os.path.isabs(name) or ".." in Path(name).parts or not is_inside(path, root):
        raise table.error(f"{name!r} leaves the data folder; give a path relative to it and inside it", row)
    return path


def filled(table: Table, column: str) -> list[str]:
    """Return the cells of a column; `BadInput` with the line for an empty one."""
    for row in table.rows:
        if not row.cells[column]:
            raise table.error(f"empty {column!r}; give every row one or remove the row", row)
    return [row.cells[column] for row in table.rows]


def filled_labels(table: Table, column: str) -> list[str]:
    """Return the cells of a column of classes; `BadInput` with the line for an empty one or one that cannot be shown."""
    for row in table.rows:
        if is_unshown(row.cells[column]):
            raise table.error(f"label {row.cells[column]!a:.300} {UNSHOWN}; write another", row)
    return filled(table, column)
