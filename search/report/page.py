"""A report as a page: its sections with text, figures, tables and pictures, and the HTML file that they become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from search.report.pictures import Picture

if TYPE_CHECKING:
    from jinja2 import Template
    from plotly.graph_objects import Figure

NONE = "-"  # where a cell has nothing to say
NUMBER = re.compile(r"-|[+-]?[\d.,:]+(e[+-]?\d+)?[%kMG ]*")
CONFIG = {"displayModeBar": False, "responsive": True, "scrollZoom": False}


@dataclass(frozen=True)
class Drawn:
    """A figure with the words above it.

    Attributes:
        id: the page's own name of it.
        wide: whether it takes the whole width of the page.
        least: pixels that its width needs; a smaller screen scrolls it.
    """

    id: str
    figure: Figure
    words: str = ""
    wide: bool = False
    least: int = 0
    height: int = 340


@dataclass(frozen=True)
class Table:
    """A table of texts: a name for each column, then the rows. One that is ``folded`` is opened by a click on its words."""

    id: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: str = ""
    folded: bool = False

    def to_the_right(self, column: int) -> bool:
        """Tell whether a column stands to the right: numbers do."""
        cells = [row[column] for row in self.rows]
        return any(cell != NONE for cell in cells) and all(NUMBER.fullmatch(cell) for cell in cells)


@dataclass(frozen=True)
class Gallery:
    """Pictures with the words above them."""

    words: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Section:
    """A part of the page; what is empty is left out."""

    id: str
    title: str
    text: Sequence[str] = ()
    figures: Sequence[Drawn] = ()
    tables: Sequence[Table] = ()
    galleries: Sequence[Gallery] = ()
    code: str = ""

    @property
    def empty(self) -> bool:
        return not (self.text or self.figures or self.tables or self.galleries or self.code)


@dataclass(frozen=True)
class Tile:
    """One figure of the head of the page."""

    value: str
    words: str


def render(title: str, lead: str, answer: str, tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """Return the whole page; it asks for nothing from anywhere when it is opened."""
    from plotly.offline import get_plotlyjs

    shown = [section for section in sections if not section.empty]
    return template().render(title=title, lead=lead, answer=answer, tiles=tiles, sections=shown, plotly=get_plotlyjs(),
                             as_json=as_json, config=CONFIG)


@cache
def template() -> Template:
    """Return the page's template; all that is put into it is escaped, unless the template itself marks it as safe."""
    from jinja2 import Environment, PackageLoader

    return Environment(loader=PackageLoader("search.report", ""), autoescape=True, trim_blocks=True,
                       lstrip_blocks=True).get_template("page.html")


def as_json(drawn: Drawn) -> str:
    """Return a figure as JSON that can stand in a script: no ``<`` is left in it."""
    return drawn.figure.to_json().replace("<", "\\u003c")

