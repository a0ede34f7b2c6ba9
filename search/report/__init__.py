"""A search as one HTML page that needs nothing else: is its model good, and why.

What stands in it (`contents`) is made from the record and the summary alone (`facts`), as figures that Plotly draws
(`figures`, `importance`), and from data and model, while they are there, as pictures (`pictures`).
"""

from __future__ import annotations

import logging
from pathlib import Path

from search.errors import SpaceError
from search.report.answer import answer
from search.report.contents import Data, lead, sections, tiles
from search.report.facts import read_facts
from search.report.page import render
from search.report.pictures import find_data
from trainables.errors import BadInput
from trainables.files import write_text_whole

FILE = "report.html"

logger = logging.getLogger(__name__)


def write_report(folder: Path, output: Path | None = None, data: Data | None = None) -> Path:
    """Write the report on the search in ``folder``, whatever it has come to, and return the file.

    Args:
        output: the file, by default ``report.html`` in the folder.
        data: rows and split, where they are known already; else they are read again, and missed where they are gone.

    Raises:
        SpaceError: the search left no record that can be read, or the file cannot be written.
    """
    facts, missing = read_facts(folder), ""
    try:
        data = data or find_data(facts)
    except BadInput as problem:
        missing = problem.message
    page = render(folder.name, lead(facts), answer(facts), tiles(facts), list(sections(facts, folder, data, missing)))
    path = output or folder / FILE
    try:
        write_text_whole(path, page.encode(errors="backslashreplace").decode())  # a file's name need not be UTF-8
    except OSError as problem:
        raise SpaceError(f"cannot be written ({problem.strerror}); give another -o", place=str(path)) from None
    return path


def last_page(folder: Path, data: Data) -> list[Path]:
    """Return the report on a search that has just ended; none where it cannot be written, as the search's log then says."""
    try:
        return [write_report(folder, data=data)]
    except Exception:  # whatever is wrong with a page must not cost the search that it is about
        logger.exception("the report could not be written; `report %s` tries again", folder.name)
        return []
