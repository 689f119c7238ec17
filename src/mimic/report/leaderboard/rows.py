"""Rows of a leaderboard: means over seeds and over scenarios, and what each defence costs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import TypeVar

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.statistics import Estimate, t_interval
from mimic.evaluation.evaluate import Evaluation
from mimic.report.leaderboard.data import Cost, Measure, Row, View

Item = TypeVar("Item")
Key = TypeVar("Key")

Cells = Mapping[str, Mapping[int, Evaluation]]
"""One defence in one view: scenario -> seed -> evaluation."""
Table = Mapping[View, Mapping[str, Cells]]
"""View -> label -> cells."""


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Items by key, both in the order in which they come up."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def cells_of(cards: Iterable[ResultCard]) -> Table:
    """Every evaluation on the cards."""
    table: dict[View, dict[str, dict[str, dict[int, Evaluation]]]] = {}
    for card in cards:
        for task, probes in card.results.items():
            for probe, evaluation in probes.items():
                view = View(task=task, probe=probe, amount=card.amount)
                by_scenario = table.setdefault(view, {}).setdefault(card.label, {})
                by_scenario.setdefault(card.scenario, {})[card.seed] = evaluation
    return table


def controls_of(cards: Iterable[ResultCard], table: Table) -> Table:
    """The clean and the attacked encoder of each scenario, in each view that has the scenario.

    They do not depend on the amount of clean images, and have one seed that nobody chose here.
    """
    found = {
        (who, card.scenario, task, probe): evaluation
        for card in cards
        for who, tasks in card.controls.items()
        for task, probes in tasks.items()
        for probe, evaluation in probes.items()
    }
    return {
        view: {
            who: {
                scenario: {0: found[who, scenario, view.task, view.probe]}
                for scenario in scenarios_in(by_label)
                if (who, scenario, view.task, view.probe) in found
            }
            for who in ("clean", "suspect")
        }
        for view, by_label in table.items()
    }


def scenarios_in(by_label: Mapping[str, Cells]) -> tuple[str, ...]:
    """The scenarios in which any defence has a result."""
    return tuple(dict.fromkeys(name for cells in by_label.values() for name in cells))


def rows_of(cards: Sequence[ResultCard]) -> tuple[Row, ...]:
    """Controls and defences by view and scenario; means over scenarios where there are several."""
    table = cells_of(cards)
    controls = controls_of(cards, table)
    several = len({card.scenario for card in cards if not card.failed}) > 1
    return tuple(
        row
        for view, by_label in table.items()
        for row in _rows(view, by_label, controls[view], several=several)
    )


def _rows(
    view: View, by_label: Mapping[str, Cells], controls: Mapping[str, Cells], *, several: bool
) -> Iterator[Row]:
    wanted = len(scenarios_in(by_label))
    clean = {name: runs[0].accuracy for name, runs in controls["clean"].items()}
    for control, entries in ((True, controls), (False, by_label)):
        for label, cells in entries.items():
            scopes: list[str | None] = [*([None] if several and cells else []), *cells]
            for scope in scopes:
                chosen = cells if scope is None else {scope: cells[scope]}
                yield Row(
                    view=view,
                    scenario=scope,
                    label=label,
                    control=control,
                    seeds=() if control else tuple(sorted({s for c in chosen.values() for s in c})),
                    scenarios=len(chosen),
                    complete=scope is not None or len(chosen) == wanted,
                    accuracy=estimate(values_of(chosen, "accuracy")),
                    kept=_kept(chosen, clean),
                    attack_success_rate=_estimate_or_none(chosen),
                )


def values_of(cells: Cells, measure: Measure) -> dict[str, dict[int, float]]:
    """Scenario -> seed -> value, where it was measured."""
    found = {
        scenario: {seed: getattr(evaluation, measure) for seed, evaluation in runs.items()}
        for scenario, runs in cells.items()
    }
    measured = {
        scenario: {seed: value for seed, value in runs.items() if value is not None}
        for scenario, runs in found.items()
    }
    return {scenario: runs for scenario, runs in measured.items() if runs}


def estimate(values: Mapping[str, Mapping[int, float]]) -> Estimate:
    """The mean over scenarios of the means over seeds, with a 95 % interval over seeds.

    The interval is of the mean over these very scenarios. It needs two seeds or more, and the same
    ones in every scenario.

    Args:
        values: scenario -> seed -> rate in [0, 1], none empty.
    """
    seeds = [set(runs) for runs in values.values()]
    count = sum(map(len, seeds))
    mean = fmean(fmean(runs.values()) for runs in values.values())
    if any(one != seeds[0] for one in seeds) or len(seeds[0]) < 2:
        return Estimate(mean=mean, low=None, high=None, count=count)
    found = t_interval([fmean(r[seed] for r in values.values()) for seed in sorted(seeds[0])])
    low, high = max(0.0, found.low or 0.0), min(1.0, found.high or 0.0)
    return Estimate(mean=mean, low=low, high=high, count=count)


def costs_of(cards: Iterable[ResultCard]) -> tuple[Cost, ...]:
    """What each defence takes, by amount of clean images; failed cells are left out."""
    groups = grouped((c for c in cards if not c.failed), lambda card: (card.label, card.amount))
    return tuple(
        Cost(
            label=label,
            amount=amount,
            cells=len(group),
            seconds=fmean(card.seconds for card in group),
            images_per_second=_mean(card.images_per_second for card in group),
            peak_memory_mib=_mean(card.peak_memory_mib for card in group),
            peak_gpu_memory_mib=_mean(card.peak_gpu_memory_mib for card in group),
        )
        for (label, amount), group in groups.items()
    )


def _estimate_or_none(cells: Cells) -> Estimate | None:
    values = values_of(cells, "attack_success_rate")
    return estimate(values) if values else None


def _kept(cells: Cells, clean: Mapping[str, float]) -> float | None:
    if any(scenario not in clean for scenario in cells):
        return None
    means = values_of(cells, "accuracy")
    return fmean(fmean(runs.values()) - clean[scenario] for scenario, runs in means.items())


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
