"""Layout of a leaderboard's page: tables and figures that know for which choice they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mimic.report.leaderboard.data import Leaderboard, View
from mimic.report.leaderboard.drawing import Drawing

MEAN = "mean"
"""In place of the number of a scenario: the mean over all."""
EVERY = "every"
"""A choice of the reader: all scenarios, one by one."""

Place = Mapping[str, str]
"""Dimension ("scenario", "task", "probe", "amount") -> the choice under which something is shown.

Choices are numbers and not names, so that no name can be mistaken for anything else. What a place
does not name is shown under every choice.
"""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        style: classes; "num" holds numbers; "by-view" and "by-scenario" are hidden where all rows
            agree in it.
        descending: sorted from the highest value down at the first click.
    """

    name: str
    style: str = ""
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A value of a table.

    Attributes:
        text: what is shown.
        note: smaller, below it.
        key: what the column is sorted by; None comes last, and text sorts by itself.
        style: classes, such as the tint of a heat map.
        bar: length of a bar below the text, in [0, 1], or None.
    """

    text: str
    note: str = ""
    key: float | None = None
    style: str = ""
    bar: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table; its first column is its heading.

    Attributes:
        name: the heading.
        note: smaller, below it.
        cells: one per column after the first.
        place: for which choice it is shown.
        style: classes.
    """

    name: str
    note: str = ""
    cells: tuple[Cell, ...]
    place: Place = field(default_factory=dict)
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Lines under columns.

    Attributes:
        name: identifies it on the page.
        caption: what it holds.
        columns: the first is that of the headings.
        lines: in the order before any sorting.
        place: for which choice all of it is shown.
        sortable: whether its headings sort it.
        style: classes.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    place: Place = field(default_factory=dict)
    sortable: bool = True
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing with its title and the words under it.

    Attributes:
        title: what is drawn.
        drawing: the shapes.
        caption: how to read it.
        place: for which choice it is shown.
    """

    title: str
    drawing: Drawing
    caption: str
    place: Place


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a reader can choose in one dimension.

    Attributes:
        dimension: "scenario", "task", "probe" or "amount".
        title: for people.
        options: value and words; the value is one that places use.
        chosen: the value at first.
    """

    dimension: str
    title: str
    options: tuple[tuple[str, str], ...]
    chosen: str


@dataclass(frozen=True)
class Index:
    """The numbers of scenarios, tasks, probes and amounts, and what is shown at first."""

    board: Leaderboard

    @cached_property
    def view(self) -> View:
        """What is shown at first: a task with an attack, and the amount with the most cells.

        Of amounts with equally many it is the middle one.
        """
        cells = dict.fromkeys(self.board.views, (False, 0))
        for row in self.board.rows:
            if row.scenario is not None and not row.control:
                attacked, count = cells[row.view]
                attacked = attacked or row.attack_success_rate is not None
                cells[row.view] = attacked, count + len(row.seeds)
        most = max(cells.values())
        first = next(view for view in cells if cells[view] == most)
        alike = [view for view in cells if cells[view] == most and _same_head(view, first)]
        return alike[len(alike) // 2]

    @cached_property
    def scope(self) -> str | None:
        """The mean over scenarios, or the only scenario."""
        return self.board.scopes[0]

    def place(self, view: View) -> dict[str, str]:
        """Where something of a view belongs, whatever the scenario."""
        amounts = [amount.name for amount in self.board.amounts]
        return {
            "task": str(self.board.tasks.index(view.task)),
            "probe": str(self.board.probes.index(view.probe)),
            "amount": str(amounts.index(view.amount)),
        }

    def scenario(self, name: str | None) -> dict[str, str]:
        """Where something of a scenario belongs, or of the mean over scenarios."""
        names = [scenario.name for scenario in self.board.scenarios]
        return {"scenario": MEAN if name is None else str(names.index(name))}

    @cached_property
    def first(self) -> dict[str, str]:
        """The choice at first."""
        return self.scenario(self.scope) | self.place(self.view)

    def hidden(self, place: Place) -> bool:
        """Whether something is hidden at first."""
        return any(self.first[dimension] != value for dimension, value in place.items())

    def choices(self) -> tuple[Choice, ...]:
        """All that a reader can choose."""
        board = self.board
        attacks = {one.name: one.attack for one in board.scenarios}
        scenarios = [
            (
                self.scenario(name)["scenario"],
                "mean over scenarios" if name is None else titled(name, attacks[name]),
            )
            for name in board.scopes
        ]
        if len(scenarios) > 1:
            scenarios.insert(1, (EVERY, "every scenario, one by one"))
        used = board.views
        return tuple(
            Choice(dimension=dimension, title=title, options=tuple(o), chosen=self.first[dimension])
            for dimension, title, o in (
                ("scenario", "Attack scenario", scenarios),
                ("task", "Task", _numbered(board.tasks, {view.task for view in used})),
                ("probe", "Probe", _numbered(board.probes, {view.probe for view in used})),
                (
                    "amount",
                    "Clean images",
                    _numbered([a.name for a in board.amounts], {view.amount for view in used}),
                ),
            )
        )


def titled(scenario: str, attack: str | None) -> str:
    """A scenario with its attack, unless its name says it."""
    return scenario if attack is None or attack in scenario else f"{scenario} ({attack})"


def _same_head(one: View, other: View) -> bool:
    return (one.task, one.probe) == (other.task, other.probe)


def _numbered(names: "tuple[str, ...] | list[str]", used: set[str]) -> list[tuple[str, str]]:
    return [(str(index), name) for index, name in enumerate(names) if name in used]
