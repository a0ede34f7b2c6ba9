"""The rows that a search began with, a line each beside its record: what has changed since can then be named."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

from search.errors import EnvironmentProblem
from search.record import Record
from trainables.data import Catalog
from trainables.files import whole

FILE = "rows.csv"
HEAD = ("image", "content", "target")
TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}  # a file's name may be any bytes


def write_rows(folder: Path, catalog: Catalog) -> None:
    """Write the rows of ``catalog`` to a new search's ``folder``: names, and hashes of image and target."""
    with whole(folder / FILE) as part, open(part, "w", **TEXT) as file:
        csv.writer(file).writerows([HEAD, *rows(catalog)])


def rows(catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    for name, (content, *target) in zip(catalog.names, catalog.rows()):
        yield name, content.hex(), hashlib.blake2b(repr(target).encode(), digest_size=8).hexdigest()


def check_rows(record: Record, catalog: Catalog) -> None:
    """Refuse to go on with other rows than the record's trials were trained and compared on.

    Raises:
        EnvironmentProblem: ``catalog`` holds others; names the first, and the folder or file that they are in.
    """
    if catalog.fingerprint != record.data:
        what = f"the images or labels under {str(record.space.data.root or record.space.data.source)!r} have changed since"
        mend = "put them back, or begin a new search"
        raise EnvironmentProblem(f"{what} the search {record.folder.name!r} began{difference(record.folder, catalog)}; {mend}")


def difference(folder: Path, catalog: Catalog) -> str:
    """Return in brackets the first row that differs and how many others do; nothing where that cannot be told."""
    try:
        with open(folder / FILE, **TEXT) as file:
            before = {name: (content, target) for name, content, target in csv.reader(file)}
    except (OSError, ValueError, csv.Error):
        return ""
    del before[HEAD[0]]
    now = {name: (content, target) for name, content, target in rows(catalog)}
    differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not differing:
        return ""
    first, others = differing[0], len(differing) - 1
    if first not in now:
        what = "is gone"
    elif first not in before:
        what = "is new"
    else:
        what = "is another image" if before[first][0] != now[first][0] else "has another label"
    return f" ({first} {what}{f', and {others} more' if others else ''})"
