"""The rows that a search began with, a line each beside its record: what has changed since can then be named."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from search.errors import EnvironmentProblem
from search.record import Record
from trainables.data import Catalog
from trainables.files import whole

FILE = "rows.csv"
Row = tuple[str, str, str]
HEAD = ("image", "content", "target")
TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}  # a file's name may be any bytes


def keep_rows(folder: Path, catalog: Catalog) -> None:
    """Write the rows of ``catalog`` to a search's ``folder``, where they are not yet: names, and hashes of image and target."""
    if (folder / FILE).exists():
        return
    with whole(folder / FILE) as part, open(part, "w", **TEXT) as file:
        csv.writer(file).writerows([HEAD, *rows(catalog)])


def rows(catalog: Catalog) -> Iterator[Row]:
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
            _, *known = [(name, content, target) for name, content, target in csv.reader(file)]
    except (OSError, ValueError, csv.Error):
        return ""
    before, now = unmatched(known, rows(catalog)), unmatched(rows(catalog), known)
    names = list({**before, **now})
    if not names:
        return ""
    first, others = names[0], len(names) - 1
    if first not in now:
        what = "is gone"
    elif first not in before:
        what = "is new"
    else:
        what = "is another image" if before[first][0] != now[first][0] else "is labelled otherwise"
    return f" ({first} {what}{f', and {others} more' if others else ''})"


def unmatched(some: Iterable[Row], others: Iterable[Row]) -> dict[str, tuple[str, str]]:
    """Return those of ``some`` rows, by name, whose image with this target is not among ``others``, whatever its name there."""
    left = Counter((content, target) for _, content, target in others)
    found = {}
    for name, content, target in some:
        if left[content, target]:
            left[content, target] -= 1
        else:
            found[name] = content, target
    return found
