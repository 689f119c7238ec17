"""Ranks over scenarios, and paired tests of every defence against a reference."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.statistics import (
    bootstrap_interval,
    holm,
    independent_units,
    mean_ranks,
    paired_differences,
    sign_flip_p,
)
from mimic.report.leaderboard.data import (
    HIGHER_IS_BETTER,
    MEASURES,
    Comparison,
    Measure,
    Rank,
    Row,
    View,
)
from mimic.report.leaderboard.rows import Cells, cells_of, grouped, values_of

REFERENCE = "mimic"


def ranks_of(rows: Sequence[Row]) -> tuple[Rank, ...]:
    """Ranks within each scenario and their means over scenarios.

    Means are over all scenarios of a view and of the defences that have a result in each of them.
    """
    single = [row for row in rows if row.scenario is not None and not row.control]
    several = any(row.scenario is None for row in rows)
    return tuple(
        rank
        for view, group in grouped(single, lambda row: row.view).items()
        for rank in _ranks(view, group, several=several)
    )


def reference_of(cards: Sequence[ResultCard]) -> str | None:
    """The label of `mimic`: that name itself, or else the only label of our default."""
    labels = {card.label for card in cards if card.defense == REFERENCE}
    if REFERENCE in labels:
        return REFERENCE
    return labels.pop() if len(labels) == 1 else None


def comparisons_of(cards: Sequence[ResultCard], reference: str | None) -> tuple[Comparison, ...]:
    """Every other defence against the reference, in each view and measure where there are pairs."""
    return tuple(
        comparison
        for view, by_label in cells_of(cards).items()
        if reference is not None and reference in by_label
        for measure in MEASURES
        for comparison in _compare(view, measure, by_label, reference)
    )


def _ranks(view: View, rows: Sequence[Row], *, several: bool) -> Iterator[Rank]:
    by_scenario = grouped(rows, lambda row: row.scenario)
    scopes = [*([list(by_scenario)] if several else []), *([name] for name in by_scenario)]
    for index, scope in enumerate(scopes):
        found = [
            mean_ranks(
                [block for name in scope if (block := _values(by_scenario[name], measure))],
                higher_is_better=HIGHER_IS_BETTER[measure],
            )
            for measure in MEASURES
        ]
        accuracy, success = found
        for label, rank in accuracy.items():
            both = [one[label] for one in found if label in one]
            yield Rank(
                view=view,
                scenario=None if several and index == 0 else scope[0],
                label=label,
                accuracy=rank,
                attack_success_rate=success.get(label),
                overall=fmean(both),
                scenarios=len(scope),
                defenses=len(accuracy),
            )


def _values(rows: Sequence[Row], measure: Measure) -> dict[str, float]:
    found = {row.label: getattr(row, measure) for row in rows}
    return {label: estimate.mean for label, estimate in found.items() if estimate is not None}


def _compare(
    view: View, measure: Measure, by_label: Mapping[str, Cells], reference: str
) -> Iterator[Comparison]:
    known = values_of(by_label[reference], measure)
    found = {
        label: differences
        for label, cells in by_label.items()
        if label != reference and (differences := _differences(values_of(cells, measure), known))
    }
    units = {label: independent_units(differences) for label, differences in found.items()}
    p_values = {label: sign_flip_p(values) for label, values in units.items()}
    corrected = holm(p_values)
    sign = 1 if HIGHER_IS_BETTER[measure] else -1
    for label, differences in found.items():
        yield Comparison(
            view=view,
            measure=measure,
            label=label,
            difference=bootstrap_interval(units[label]),
            scenarios=len(differences),
            better_in=sum(sign * fmean(values) > 0 for values in differences),
            p_value=p_values[label],
            p_holm=corrected[label],
        )


def _differences(
    values: Mapping[str, Mapping[int, float]], reference: Mapping[str, Mapping[int, float]]
) -> list[list[float]]:
    """Those of the seeds that both have, for each scenario that has such ones."""
    pairs = (paired_differences(runs, reference.get(name, {})) for name, runs in values.items())
    return [[*found.values()] for found in pairs if found]
