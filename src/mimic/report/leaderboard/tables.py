"""Tables of a leaderboard: standings, ranks, paired tests, costs, failures, who took part."""

import math
from collections.abc import Mapping
from dataclasses import replace

from mimic.benchmark.statistics import Estimate
from mimic.report.leaderboard.data import (
    CONTROL_NAMES,
    Comparison,
    Leaderboard,
    Measure,
    Row,
    View,
)
from mimic.report.leaderboard.layout import Cell, Column, Index, Line, Table, titled

SIGNIFICANT = 0.05
NOTHING = Cell(text="\u2013")
_CONTROL_NOTES = {
    "clean": "control: before the attack",
    "suspect": "control: what the defender is given",
}
_BY_VIEW = tuple(Column(name=name, style="by-view") for name in ("Task", "Probe", "Clean images"))


def standings(index: Index, notes: Mapping[str, str]) -> Table:
    """Every row of the leaderboard; controls first, then defences by rank.

    Args:
        index: of the leaderboard.
        notes: what is to be said of a defence, by label.
    """
    board = index.board
    ranks = {(rank.view, rank.scenario, rank.label): rank.overall for rank in board.ranks}
    scopes = {scope: number for number, scope in enumerate(board.scopes)}
    views = {view: number for number, view in enumerate(board.views)}

    def rank_of(row: Row) -> float:
        return math.inf if row.control else ranks.get((row.view, row.scenario, row.label), math.inf)

    rows = sorted(
        board.rows,
        key=lambda row: (scopes[row.scenario], views[row.view], not row.control, rank_of(row)),
    )
    return Table(
        name="standings",
        caption="Rates in %, means over seeds with 95 % intervals; accuracy also in points above "
        "the clean encoder. Rank: mean of those by accuracy and by attack success, 1 is best.",
        columns=(
            Column(name="Defence"),
            Column(name="Scenario", style="by-scenario"),
            *_BY_VIEW,
            _numbers("Rank"),
            _numbers("Accuracy", descending=True),
            _numbers("Attack success"),
            _numbers("vs clean", descending=True),
            _numbers("Seeds", descending=True),
        ),
        lines=tuple(_standing(index, row, rank_of(row), notes) for row in rows),
    )


def ranks_table(index: Index) -> Table:
    """Ranks by each measure: means over scenarios, or those of the only scenario."""
    return Table(
        name="ranks",
        caption="Mean rank over the scenarios, 1 is best; equal values share a rank. Only what has "
        "a result in every scenario is ranked.",
        columns=(
            Column(name="Defence"),
            *_BY_VIEW,
            _numbers("Overall"),
            _numbers("By accuracy"),
            _numbers("By attack success"),
            _numbers("Scenarios"),
        ),
        lines=tuple(
            Line(
                name=rank.label,
                cells=(
                    *_view_cells(rank.view),
                    number(rank.overall, 1),
                    number(rank.accuracy, 1),
                    number(rank.attack_success_rate, 1),
                    number(rank.scenarios, 0),
                ),
                place=index.place(rank.view),
                style=style_of(index.board, rank.label),
            )
            for rank in sorted(index.board.ranks, key=lambda rank: rank.overall)
            if rank.scenario == index.scope
        ),
    )


def tests_table(index: Index) -> Table:
    """Every defence against the reference: differences and p-values by measure."""
    reference = index.board.reference
    found: dict[tuple[View, str], dict[Measure, Comparison]] = {}
    for one in index.board.comparisons:
        found.setdefault((one.view, one.label), {})[one.measure] = one
    return Table(
        name="tests",
        caption=f"Points above {reference} under the same seeds, with bootstrap 95 % intervals. "
        "Each scenario counts once, with the mean over its seeds; if there is one, its seeds do. "
        "p: two-sided sign-flip test, corrected after Holm for all defences below.",
        columns=(
            Column(name="Defence"),
            *_BY_VIEW,
            _numbers("Over", descending=True),
            _numbers("Accuracy", descending=True),
            _numbers("p, accuracy"),
            _numbers("Attack success"),
            _numbers("p, attack success"),
        ),
        lines=tuple(
            Line(
                name=label,
                cells=(
                    *_view_cells(view),
                    Cell(text=(one := by_measure["accuracy"]).units, key=one.difference.count),
                    *_comparison_cells(by_measure.get("accuracy")),
                    *_comparison_cells(by_measure.get("attack_success_rate")),
                ),
                place=index.place(view),
            )
            for (view, label), by_measure in found.items()
        ),
    )


def costs_table(index: Index) -> Table:
    """What each defence takes."""
    gpu = any(cost.peak_gpu_memory_mib is not None for cost in index.board.costs)
    amounts = {amount.name: str(n) for n, amount in enumerate(index.board.amounts)}
    longest = {
        amount: max(cost.seconds for cost in index.board.costs if cost.amount == amount) or 1.0
        for amount in {cost.amount for cost in index.board.costs}
    }
    return Table(
        name="costs",
        caption="Means over the cells that did not fail. Seconds are those of the defence alone.",
        columns=(
            Column(name="Defence"),
            Column(name="Clean images", style="by-view"),
            _numbers("Seconds"),
            _numbers("Images per second", descending=True),
            _numbers("Peak memory (MiB)"),
            *([_numbers("Peak GPU memory (MiB)")] if gpu else []),
            _numbers("Cells", descending=True),
        ),
        lines=tuple(
            Line(
                name=cost.label,
                cells=(
                    Cell(text=cost.amount),
                    replace(
                        number(cost.seconds, 0 if cost.seconds >= 10 else 1),
                        bar=cost.seconds / longest[cost.amount],
                    ),
                    number(cost.images_per_second, 0),
                    number(cost.peak_memory_mib, 0),
                    *([number(cost.peak_gpu_memory_mib, 0)] if gpu else []),
                    number(cost.cells, 0),
                ),
                place={"amount": amounts[cost.amount]},
                style=style_of(index.board, cost.label),
            )
            for cost in sorted(index.board.costs, key=lambda cost: cost.seconds)
        ),
    )


def failures_table(index: Index) -> Table:
    """Cells that failed, and why."""
    attacks = {one.name: one.attack for one in index.board.scenarios}
    return Table(
        name="failures",
        caption="Cells without a result. They are in no mean and no rank.",
        columns=(
            Column(name="Defence"),
            Column(name="Scenario"),
            Column(name="Clean images"),
            _numbers("Seed"),
            Column(name="Error"),
        ),
        lines=tuple(
            Line(
                name=one.label,
                cells=(
                    Cell(text=titled(one.scenario, attacks[one.scenario])),
                    Cell(text=one.amount),
                    number(one.seed, 0),
                    Cell(text=one.message, note=one.type, style="prose"),
                ),
            )
            for one in index.board.failures
        ),
        style="loose",
    )


def scenarios_table(board: Leaderboard) -> Table:
    """What was attacked, and how."""
    return Table(
        name="scenarios",
        caption="Scenarios: the encoders that the defences were given.",
        columns=tuple(
            Column(name=n) for n in ("Scenario", "Attack", "Trigger", "SHA-256 of the encoder")
        ),
        lines=tuple(
            Line(
                name=one.name,
                cells=(
                    Cell(text=one.attack or "none"),
                    Cell(text=one.trigger or "none", style="code"),
                    Cell(text=one.encoder_sha256[:16], style="code"),
                ),
            )
            for one in board.scenarios
        ),
        style="loose",
    )


def number(value: float | None, digits: int) -> Cell:
    """A number with its decimals, or a dash."""
    return NOTHING if value is None else Cell(text=f"{value:,.{digits}f}", key=value)


def style_of(board: Leaderboard, label: str) -> str:
    """The class of a defence's line."""
    return "ours" if label == board.reference else ""


def points(difference: float) -> str:
    """A difference of rates in points, with its sign."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "\u2212")


def _numbers(name: str, *, descending: bool = False) -> Column:
    return Column(name=name, style="num", descending=descending)


def _standing(index: Index, row: Row, rank: float, notes: Mapping[str, str]) -> Line:
    success = row.attack_success_rate
    note = _CONTROL_NOTES[row.label] if row.control else notes.get(row.label, "")
    if not row.complete:
        note = f"in {row.scenarios} scenario{'s' * (row.scenarios > 1)} only, so not ranked"
    return Line(
        name=CONTROL_NAMES[row.label] if row.control else row.label,
        note=note,
        cells=(
            Cell(text=row.scenario or "mean"),
            *_view_cells(row.view),
            number(None if math.isinf(rank) else rank, 1),
            _rate(row.accuracy),
            NOTHING if success is None else _rate(success),
            NOTHING if row.kept is None else Cell(text=points(row.kept), key=row.kept),
            NOTHING if row.control else number(len(row.seeds), 0),
        ),
        place=index.scenario(row.scenario) | index.place(row.view),
        style="control" if row.control else style_of(index.board, row.label),
    )


def _view_cells(view: View) -> tuple[Cell, ...]:
    return tuple(Cell(text=text) for text in (view.task, view.probe, view.amount))


def _rate(estimate: Estimate) -> Cell:
    note = "" if estimate.low is None else f"{_ends(estimate)}"
    return Cell(text=f"{100 * estimate.mean:.1f}", note=note, key=estimate.mean)


def _ends(estimate: Estimate) -> str:
    return f"{100 * (estimate.low or 0):.1f} to {100 * (estimate.high or 0):.1f}"


def _comparison_cells(one: Comparison | None) -> tuple[Cell, Cell]:
    if one is None:
        return NOTHING, NOTHING
    found = one.difference
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f"{points(found.low)} to {points(found.high)}"
    better = (found.mean > 0) == (one.measure == "accuracy")
    sure = one.p_holm <= SIGNIFICANT
    return (
        Cell(text=points(found.mean), note=ends, key=found.mean),
        Cell(
            text=f"{one.p_holm:.3f}" + (" better" if better else " worse") * sure,
            note=f"alone {one.p_value:.3f}; better in {one.better_in} of {one.scenarios}",
            key=one.p_holm,
            style=("better" if better else "worse") * sure,
        ),
    )
