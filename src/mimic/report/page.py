"""Page: what a report says, as plain values, and how it becomes one HTML file.

Any report is a verdict, sections and provenance. Values are escaped by the template; only the SVG
that `mimic.report.figures` made goes in as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "bad", "neutral"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing with the words under it.

    Attributes:
        svg: from `mimic.report.figures`, which says in words what it shows.
        caption: one sentence or two.
    """

    svg: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image of few pixels, shown large.

    Attributes:
        source: a data URI.
        alt: what it shows, for those who do not see it.
        caption: a few words.
    """

    source: str
    alt: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A value of a table, with a smaller note under it."""

    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table.

    Attributes:
        name: its heading.
        note: what the heading stands for.
        cells: one per column.
        marked: draw attention to this row.
    """

    name: str
    cells: tuple[Cell, ...]
    note: str = ""
    marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns; the first column holds the names of the rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something that was asked for before the run, and whether it came true."""

    text: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page; what is empty is not shown.

    Attributes:
        heading: its title.
        paragraphs: what it says.
        checks: rules that hold or do not.
        table: the numbers.
        pictures: small images, side by side.
        figures: drawings, side by side where there is room.
        notes: a list of remarks.
    """

    heading: str
    paragraphs: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    table: Table | None = None
    pictures: tuple[Picture, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report.

    Attributes:
        title: of the document.
        verdict: the one sentence to read.
        tone: whether the verdict is good news.
        lead: a sentence or two below it.
        sections: in reading order.
        provenance: names and values: settings, versions, files and their SHA-256.
        command: what makes the same report again.
    """

    title: str
    verdict: str
    tone: Tone
    lead: str
    sections: tuple[Section, ...]
    provenance: Mapping[str, str]
    command: str


def render(page: Page) -> str:
    """The page as HTML: one file, no script, and nothing that a browser would have to fetch."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mimic.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page)
