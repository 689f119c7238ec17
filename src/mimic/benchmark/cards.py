"""ResultCard: one cell of a benchmark, as it is written to disk and read again.

A cell is one defence (with its settings) against one scenario, with one amount of clean images and
one seed. Its card is DIR/cards/NAME.json, one JSON object with exactly the fields of `ResultCard`
and `schema`; rates are fractions in [0, 1]. Two shapes come back again and again:

    results    task -> probe -> Evaluation, as in card.results["gtsrb"]["mlp"].accuracy
    controls   who -> task -> probe -> Evaluation, where who is "suspect" (the encoder before the
               defence) or "clean" (the encoder that was attacked); either may be absent

Cards of a grid differ in (scenario, label, amount, seed); what a label stands for is the same in
all cards of one folder. A cell that failed has a card with `error` and empty `results`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mimic.benchmark.schema import parse
from mimic.errors import InputError
from mimic.evaluation.evaluate import Evaluation
from mimic.files import write_json

SCHEMA = 2
CARDS = "cards"
_HIGHEST_COST = 1e15
"""In whatever unit; sums of it stay finite."""

Results = Mapping[str, Mapping[str, Evaluation]]
"""What an encoder reaches: task -> probe -> evaluation."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a cell has no results.

    Attributes:
        type: name of the exception, as in NonFiniteLossError.
        message: what it said.
    """

    type: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ResultCard:
    """One cell: what was run, where, what it cost and what came out.

    Attributes:
        scenario: name of the scenario, any text.
        attack: name of the attack; None where the suspect is clean or nobody knows.
        encoder_sha256: of the file of the suspect.
        images: where the clean images come from, as the configuration spells it.
        ratio: share of them that the defence got, in (0, 1]; None where a count was asked for.
        count: number of them that was asked for; None where a ratio was.
        images_used: number of them that the defence got; 0 where the cell failed before.
        seed: of the cell: it decides the choice of images, the defence and the probes.
        defense: a name of `mimic.defenses.DEFENSES`.
        label: what the defence with these settings is called in this benchmark.
        settings: all fields of the defence.
        tasks: the downstream tasks, by name: train, test and target, as on a card of the zoo.
        trigger: spelling of what opens the backdoor, or None.
        probes: names of `mimic.evaluation.PROBES`.
        results: task -> probe -> evaluation of the purified encoder; empty after a failure.
        controls: "suspect" and "clean" -> task -> probe -> what their cards in the zoo expect, or
            where these say nothing, what the benchmark measured.
        seconds: time that the defence took, all of its attempts together.
        evaluation_seconds: time that the probes took.
        images_per_second: throughput of the training; None where nothing was trained.
        peak_memory_mib: largest memory of the process until the defence was done, or None.
        peak_gpu_memory_mib: the same of the GPU, None on other devices.
        device: as the configuration spells it, such as "cpu".
        precision: likewise, such as "32-true".
        threads: of the CPU that the cell could use.
        versions: of mimic, torch and python.
        commit: of the checkout of mimic, with "-dirty" if it was changed; None outside of one.
        machine: its kind.
        error: why the cell failed, or None.
    """

    scenario: str
    attack: str | None
    encoder_sha256: str
    images: str
    ratio: float | None
    count: int | None
    images_used: int
    seed: int
    defense: str
    label: str
    settings: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    trigger: str | None
    probes: tuple[str, ...]
    results: Results = field(default_factory=dict)
    controls: Mapping[str, Results] = field(default_factory=dict)
    seconds: float
    evaluation_seconds: float
    images_per_second: float | None
    peak_memory_mib: float | None
    peak_gpu_memory_mib: float | None
    device: str
    precision: str
    threads: int
    versions: Mapping[str, str]
    commit: str | None
    machine: str
    error: Failure | None = None

    def __post_init__(self) -> None:
        if (self.ratio is None) == (self.count is None):
            raise InputError("a card has either a ratio or a count of images")
        if bool(self.results) == (self.error is not None):
            raise InputError("a card has either results or an error")

    @property
    def failed(self) -> bool:
        """Whether there is an error instead of results."""
        return self.error is not None

    @property
    def amount(self) -> str:
        """How many clean images, for people: "4 %" or "2000 images"."""
        return f"{self.count} images" if self.ratio is None else f"{100 * self.ratio:g} %"

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON knows it; `ResultCard.from_dict` is the way back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return {"schema": SCHEMA} | plain

    @classmethod
    def from_dict(cls, values: Any) -> "ResultCard":
        """A card from what `as_dict` gave.

        Raises:
            InputError: it is of another schema, or a field is missing, unknown, of another type or
                out of range.
        """
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            raise InputError(f"it is not a card of a benchmark with schema {SCHEMA}")
        fields = {name: value for name, value in values.items() if name != "schema"}
        card: ResultCard = parse(cls, fields, "the card")
        _check_ranges(card)
        return card


def check_rates(found: Evaluation, where: str) -> None:
    """Refuse an evaluation that was read and cannot have been measured.

    Args:
        found: what was read.
        where: its name, for the message.

    Raises:
        InputError: a rate is not in [0, 1].
    """
    rates = [found.accuracy, found.attack_success_rate, found.attack_success_rate_all]
    rates += [*found.accuracy_ci95, *(found.attack_success_rate_ci95 or ())]
    rates += [rate for head in found.heads for rate in (head.accuracy, head.attack_success_rate)]
    for rate in rates:
        if rate is not None and not 0 <= rate <= 1:
            raise InputError(f"{where} has the rate {rate}, and rates lie in [0, 1]")


def read_result(path: str | Path) -> ResultCard:
    """Read one card.

    Raises:
        InputError: it cannot be read or is no card.
    """
    try:
        card = ResultCard.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        # Endless lists, NaN and half a letter can be read but not written again.
        json.dumps(card.as_dict(), ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not a card of a benchmark: {error}") from error
    return card


def write_result(path: str | Path, card: ResultCard) -> None:
    """Write one card, whole or not at all."""
    write_json(path, card.as_dict())


def load_cards(folder: str | Path) -> tuple[ResultCard, ...]:
    """All cards of a benchmark, in the order of their file names; failed cells too.

    Args:
        folder: what `mimic bench --out` named.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    paths = sorted(Path(folder, CARDS).glob("*.json"))
    if not paths:
        raise InputError(f"there are no cards in '{Path(folder, CARDS)}'; is it of 'mimic bench'?")
    return tuple(map(read_result, paths))


def _check_ranges(card: ResultCard) -> None:
    for who, results in {"results": card.results, **card.controls}.items():
        for task, by_probe in results.items():
            for probe, found in by_probe.items():
                check_rates(found, f"{who}.{task}.{probe}")
    if card.ratio is not None and not 0 < card.ratio <= 1:
        raise InputError(f"the card.ratio must be above 0 and at most 1, not {card.ratio}")
    if card.count is not None and card.count < 1:
        raise InputError(f"the card.count must be 1 or more, not {card.count}")
    costs = (card.seconds, card.evaluation_seconds, card.images_per_second)
    for cost in (*costs, card.peak_memory_mib, card.peak_gpu_memory_mib):
        if cost is not None and not 0 <= cost <= _HIGHEST_COST:
            raise InputError(f"the card has a cost of {cost}, which nothing ever took")
