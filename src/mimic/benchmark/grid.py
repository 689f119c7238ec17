"""Cell: one defence against one scenario, with one amount of clean images and one seed."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.config import Bench
from mimic.benchmark.scenario import Scenario
from mimic.defenses import Defense


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What has to be run for one card.

    Attributes:
        scenario: the suspect, the clean images and the tasks.
        label: of the defence.
        name: of the defence in `DEFENSES`.
        defense: with the seed of the cell.
        ratio: share of the clean images, or None.
        count: number of them, or None.
        probes: names of `PROBES`.
        device: as `Trainer` takes it.
        precision: likewise.
    """

    scenario: Scenario
    label: str
    name: str
    defense: Defense
    ratio: float | None
    count: int | None
    probes: tuple[str, ...]
    device: str
    precision: str
    stem: str = field(init=False)
    """Name of its card and of its folder, without a suffix."""

    def __post_init__(self) -> None:
        amount = f"{self.count}" if self.ratio is None else f"{100 * self.ratio:g}pc"
        parts = (self.scenario.name, self.label, amount, f"seed{self.defense.seed}")
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
        object.__setattr__(self, "stem", "_".join([*map(_slug, parts), digest]))

    def facts(self) -> dict[str, Any]:
        """Those fields of the card that are known before the cell has run."""
        card = self.scenario.card
        return {
            "scenario": self.scenario.name,
            "attack": card.attack,
            "encoder_sha256": card.sha256,
            "images": self.scenario.images,
            "ratio": self.ratio,
            "count": self.count,
            "seed": self.defense.seed,
            "defense": self.name,
            "label": self.label,
            "settings": asdict(self.defense),
            "tasks": {name: asdict(task) for name, task in self.scenario.tasks.items()},
            "trigger": card.trigger,
            "probes": self.probes,
        }


def expand(bench: Bench) -> tuple[Cell, ...]:
    """Every cell of a benchmark; those of one seed stay together, so that a part is of use."""
    amounts: list[tuple[float | None, int | None]] = [
        *((ratio, None) for ratio in bench.ratios),
        *((None, count) for count in bench.counts),
    ]
    return tuple(
        Cell(
            scenario=scenario,
            label=contender.label,
            name=contender.name,
            defense=contender.defense.with_settings(seed=seed),
            ratio=ratio,
            count=count,
            probes=bench.probes,
            device=bench.device,
            precision=bench.precision,
        )
        for seed, (ratio, count), scenario, contender in product(
            bench.seeds, amounts, bench.scenarios, bench.contenders
        )
    )


def differing(card: ResultCard, cell: Cell) -> str:
    """What differs between a card and a cell, for a message; empty if nothing does."""
    found = _flat(card.as_dict())
    wanted = _flat(json.loads(json.dumps(cell.facts())))
    return ", ".join(
        f"{name} {found.get(name)!r:.60} instead of {wanted.get(name)!r:.60}"
        for name in wanted | {name: None for name in found if name.startswith("setting ")}
        if found.get(name) != wanted.get(name)
    )


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """With each setting on its own."""
    settings = {f"setting {name}": value for name, value in values["settings"].items()}
    return {name: value for name, value in values.items() if name != "settings"} | settings


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:40]
