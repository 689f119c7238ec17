"""Leaderboard: what the cards of a benchmark say together, as plain values.

A defence goes by the label that the benchmark gave it. Numbers are compared where task, probe and
amount of clean images agree: a `View`. Rates are fractions in [0, 1].
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mimic.benchmark.statistics import Estimate

FORMAT = 1

Measure = Literal["accuracy", "attack_success_rate"]
MEASURES: tuple[Measure, ...] = ("accuracy", "attack_success_rate")
HIGHER_IS_BETTER: Mapping[Measure, bool] = {"accuracy": True, "attack_success_rate": False}


MEASURE_NAMES: Mapping[Measure, str] = {
    "accuracy": "clean accuracy",
    "attack_success_rate": "attack success rate",
}
CONTROL_NAMES = {"clean": "clean encoder", "suspect": "attacked encoder"}
"""What the controls on a card are called here."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What numbers must have in common to be compared.

    Attributes:
        task: the downstream task.
        probe: the head.
        amount: of clean images, for people: "4 %".
    """

    task: str
    probe: str
    amount: str


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How many clean images a defence had.

    Attributes:
        name: for people: "4 %" or "2000 images".
        ratio: in (0, 1]; None where a count was asked for.
        count: None where a ratio was.
    """

    name: str
    ratio: float | None
    count: int | None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One attacked encoder.

    Attributes:
        name: any text.
        attack: None where there is none, or nobody knows.
        trigger: spelling of what opens the backdoor.
        encoder_sha256: of its file.
    """

    name: str
    attack: str | None
    trigger: str | None
    encoder_sha256: str


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A defence with its settings.

    Attributes:
        label: its name in this benchmark.
        defense: its name in mimic.
        settings: all but the seed.
        done, failed: numbers of cells.
    """

    label: str
    defense: str
    settings: Mapping[str, Any]
    done: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is left of accuracy and of the attack, after a defence or without one.

    Attributes:
        view: what it was measured with.
        scenario: None for the mean over scenarios.
        label: of the defence; "clean" or "suspect" where `control` is set.
        control: no defence, but an encoder that defences are compared with.
        seeds: those that were run, ascending; none for a control.
        scenarios: how many the row is a mean of.
        complete: whether these are all that the view has.
        accuracy: with an interval over seeds.
        kept: accuracy minus that of the clean encoders of the same scenarios; None without them.
        attack_success_rate: with an interval over seeds; None where it was not measured.
    """

    view: View
    scenario: str | None
    label: str
    control: bool
    seeds: tuple[int, ...]
    scenarios: int
    complete: bool
    accuracy: Estimate
    kept: float | None
    attack_success_rate: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Where a defence stands, 1 being the best; a mean over scenarios where `scenario` is None.

    Attributes:
        view: what was measured.
        scenario: None for the mean over those of the view.
        label: of the defence.
        accuracy: its rank by accuracy.
        attack_success_rate: its rank by attack success, None where that was not measured.
        overall: the mean of both, or the one there is.
        scenarios: how many the rank is a mean of.
        defenses: how many were ranked.
    """

    view: View
    scenario: str | None
    label: str
    accuracy: float
    attack_success_rate: float | None
    overall: float
    scenarios: int
    defenses: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A defence minus the reference, over pairs that agree in scenario, amount, seed, task, probe.

    Runs of one scenario share the attacked encoder. So each scenario counts once, with the mean
    over its seeds; where there is only one, its seeds count. See `independent_units`.

    Attributes:
        view: what was measured.
        measure: "accuracy" or "attack_success_rate".
        label: of the defence.
        difference: mean with a bootstrap interval, in [-1, 1]; its count is that of the scenarios,
            or of the seeds of the only one.
        scenarios: how many the pairs come from.
        better_in: in how many of them the mean difference speaks for the defence.
        p_value: of a two-sided sign-flip test.
        p_holm: the same, corrected for all defences of this view and measure.
    """

    view: View
    measure: Measure
    label: str
    difference: Estimate
    scenarios: int
    better_in: int
    p_value: float
    p_holm: float

    @property
    def units(self) -> str:
        """What counts as independent, and how often: "3 scenarios"."""
        count = self.difference.count
        return f"{count} {'scenario' if self.scenarios > 1 else 'seed'}{'s' * (count > 1)}"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a defence takes: the mean over its cells with one amount of clean images.

    Attributes:
        label: of the defence.
        amount: of clean images.
        cells: how many, failed ones left out.
        seconds: wall-clock time of the defence alone.
        images_per_second: of its training; None where nothing was trained.
        peak_memory_mib: of the process.
        peak_gpu_memory_mib: None where no GPU was used.
    """

    label: str
    amount: str
    cells: int
    seconds: float
    images_per_second: float | None
    peak_memory_mib: float | None
    peak_gpu_memory_mib: float | None


@dataclass(frozen=True, kw_only=True)
class FailedCell:
    """A cell without results, and why."""

    scenario: str
    label: str
    amount: str
    seed: int
    type: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Everything that the page shows.

    Attributes:
        folder: where the cards are.
        cards: how many were read.
        reference: label that the others are compared with; None if `mimic` did not take part.
        tasks, probes: names, in the order of the cards.
        amounts: of clean images, ascending.
        scenarios, entrants, rows, ranks, comparisons, costs, failures: see their classes.
        remarks: what a reader should know about the cards, such as those that could not be read.
        provenance: by kind ("Machine", ...), what the cards say, without repetitions.
    """

    folder: str
    cards: int
    reference: str | None
    tasks: tuple[str, ...]
    probes: tuple[str, ...]
    amounts: tuple[Amount, ...]
    scenarios: tuple[Scenario, ...]
    entrants: tuple[Entrant, ...]
    rows: tuple[Row, ...]
    ranks: tuple[Rank, ...]
    comparisons: tuple[Comparison, ...]
    costs: tuple[Cost, ...]
    failures: tuple[FailedCell, ...]
    remarks: tuple[str, ...]
    provenance: Mapping[str, tuple[str, ...]]

    @property
    def views(self) -> tuple[View, ...]:
        """Views that were measured, by task, probe and amount."""
        order = {amount.name: index for index, amount in enumerate(self.amounts)}
        return tuple(
            sorted(
                {row.view for row in self.rows},
                key=lambda view: (
                    self.tasks.index(view.task),
                    self.probes.index(view.probe),
                    order[view.amount],
                ),
            )
        )

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """The mean over scenarios, where there are several, and each of those with results."""
        named = tuple(dict.fromkeys(row.scenario for row in self.rows))
        return tuple(sorted(named, key=lambda name: name is not None))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT} | asdict(self)
