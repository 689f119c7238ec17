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
        caption: a few words; none in a gallery, whose headings say what it is.
        marked: draw attention to it.
    """

    source: str
    alt: str
    caption: str = ""
    marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Card:
    """Some pictures of one thing, side by side, with what there is to say about it.

    Attributes:
        heading: what it is.
        text: a sentence or two.
        pictures: with captions.
    """

    heading: str
    text: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class PictureRow:
    """Pictures under named columns.

    Attributes:
        name: its heading.
        note: a few words under the heading.
        pictures: one per column.
    """

    name: str
    pictures: tuple[Picture, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PictureGroup:
    """Rows about the same image, which stands before them."""

    lead: Picture
    rows: tuple[PictureRow, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """A table of pictures.

    Attributes:
        caption: what it shows, and how to read it.
        lead: heading of the images that stand before the rows.
        columns: headings of the others.
        groups: from top to bottom.
    """

    caption: str
    lead: str
    columns: tuple[str, ...]
    groups: tuple[PictureGroup, ...]


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
        cards: pictures of several things, each with its own words.
        figures: drawings, side by side where there is room.
        gallery: a table of pictures.
        notes: a list of remarks.
    """

    heading: str
    paragraphs: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    table: Table | None = None
    pictures: tuple[Picture, ...] = ()
    cards: tuple[Card, ...] = ()
    figures: tuple[Figure, ...] = ()
    gallery: Gallery | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """A number to see at first glance.

    Attributes:
        label: what it is.
        value: the number.
        note: how to read it.
        tone: whether it is good news.
    """

    label: str
    value: str
    note: str
    tone: Tone = "neutral"


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
        highlights: the numbers behind the verdict.
    """

    title: str
    verdict: str
    tone: Tone
    lead: str
    sections: tuple[Section, ...]
    provenance: Mapping[str, str]
    command: str
    highlights: tuple[Highlight, ...] = ()


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
