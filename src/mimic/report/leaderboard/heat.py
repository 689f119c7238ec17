"""Heat maps of a leaderboard: defences by scenarios, one table per view and measure."""

import math
from collections.abc import Iterator, Mapping, Sequence

from mimic.report.leaderboard.data import CONTROL_NAMES, MEASURES, Measure, Row, View
from mimic.report.leaderboard.layout import Cell, Column, Index, Line, Table, titled
from mimic.report.leaderboard.tables import NOTHING, style_of

STEPS = 10
"""Shades above none."""
DARKEST_LOSS = 0.2
"""Accuracy lost from which on the shade is the darkest."""
_CAPTIONS: Mapping[Measure, str] = {
    "accuracy": "Accuracy (%). Darker is further below the clean encoder, up to 20 points.",
    "attack_success_rate": "Attack success (%). Darker is more; the shade follows the root of it.",
}

_Entry = tuple[bool, str]
"""Whether it is a control, and the label."""


def heat_maps(index: Index) -> Iterator[Table]:
    """The tables by view; attack success, where it was measured, before accuracy."""
    for view in index.board.views:
        rows = [r for r in index.board.rows if r.view == view and r.scenario is not None]
        for measure in reversed(MEASURES):
            if any(getattr(row, measure) is not None for row in rows):
                yield _heat_map(index, view, measure, rows)


def _heat_map(index: Index, view: View, measure: Measure, rows: Sequence[Row]) -> Table:
    attacks = {one.name: one.attack for one in index.board.scenarios}
    names = [name for name in attacks if any(row.scenario == name for row in rows)]
    cells = _cells(rows, measure)
    for one in index.board.failures:
        if one.amount == view.amount and one.scenario in names:
            cells.setdefault((False, one.label), {}).setdefault(
                one.scenario, Cell(text="failed", style="failed")
            )
    place = index.place(view)
    return Table(
        name=f"heat-{measure}-{'-'.join(place.values())}",
        caption=_CAPTIONS[measure],
        columns=(
            Column(name="Defence"),
            *(
                Column(
                    name=titled(name, attacks[name]),
                    style="num",
                    descending=measure == "accuracy",
                )
                for name in names
            ),
        ),
        lines=tuple(
            Line(
                name=CONTROL_NAMES[label] if control else label,
                cells=tuple(by_scenario.get(name, NOTHING) for name in names),
                style="control" if control else style_of(index.board, label),
            )
            for (control, label), by_scenario in _ordered(index, view, cells)
        ),
        place=place,
        style="heatmap",
    )


def _cells(rows: Sequence[Row], measure: Measure) -> dict[_Entry, dict[str, Cell]]:
    clean = {
        row.scenario: row.accuracy.mean for row in rows if row.control and row.label == "clean"
    }
    cells: dict[_Entry, dict[str, Cell]] = {}
    for row in rows:
        estimate = getattr(row, measure)
        if estimate is None or row.scenario is None:
            continue
        if measure == "attack_success_rate":
            shade = math.sqrt(estimate.mean)
        else:
            shade = (clean.get(row.scenario, 0.0) - estimate.mean) / DARKEST_LOSS
        step = round(STEPS * min(1.0, max(0.0, shade)))
        cells.setdefault((row.control, row.label), {})[row.scenario] = Cell(
            text=f"{100 * estimate.mean:.1f}", key=estimate.mean, style=f"heat heat{step}"
        )
    return cells


def _ordered(
    index: Index, view: View, cells: Mapping[_Entry, Mapping[str, Cell]]
) -> list[tuple[_Entry, Mapping[str, Cell]]]:
    """Controls first, then defences by rank."""
    ranks = {
        rank.label: rank.overall
        for rank in index.board.ranks
        if rank.view == view and rank.scenario == index.scope
    }

    def position(item: tuple[_Entry, Mapping[str, Cell]]) -> tuple[bool, float]:
        control, label = item[0]
        return not control, ranks.get(label, math.inf)

    return sorted(cells.items(), key=position)
