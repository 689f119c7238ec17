"""Bench: what a TOML file asks for, checked before anything runs."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from mimic.benchmark.scenario import Scenario, read_scenario
from mimic.benchmark.schema import check_names, parse, read_table
from mimic.defenses import DEFENSES, Defense
from mimic.errors import InputError
from mimic.evaluation.evaluate import PROBES
from mimic.training import Plan
from mimic.zoo.members import DATA_VARIABLE, find_data


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A defence with settings, as it takes part.

    Attributes:
        label: what it is called, any printable text.
        name: of the defence in `DEFENSES`.
        defense: with its settings; its seed is that of the cell.
    """

    label: str
    name: str
    defense: Defense


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Scenarios, defences, amounts of clean images and seeds, each with each.

    Attributes:
        scenarios: with names of their own.
        contenders: with labels of their own.
        ratios: shares of the clean images, in (0, 1]; empty where counts are given.
        counts: numbers of clean images; empty where ratios are given.
        seeds: of the cells.
        probes: names of `PROBES`.
        device: as `Trainer` takes it.
        precision: likewise.
        keep_encoders: whether each purified encoder is kept beside its card.
    """

    scenarios: tuple[Scenario, ...]
    contenders: tuple[Contender, ...]
    ratios: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    probes: tuple[str, ...] = ("mlp",)
    device: str = "auto"
    precision: str = "auto"
    keep_encoders: bool = True

    def __post_init__(self) -> None:
        if bool(self.ratios) == bool(self.counts):
            raise InputError("a benchmark needs either ratios or counts of clean images")
        if not all(0 < ratio <= 1 for ratio in self.ratios):
            raise InputError(f"ratios must be above 0 and at most 1, not {list(self.ratios)}")
        if not all(count >= 1 for count in self.counts):
            raise InputError(f"counts must be 1 or more, not {list(self.counts)}")
        check_names(self.probes, PROBES, "probe", "a benchmark")
        for what, values in (
            ("scenario", [scenario.name for scenario in self.scenarios]),
            ("defence", [contender.label for contender in self.contenders]),
            ("seed", self.seeds),
            ("probe", self.probes),
            ("amount of clean images", self.ratios or self.counts),
        ):
            _check_distinct(what, values)


@dataclass(frozen=True, kw_only=True)
class _Document:
    """The whole configuration, before its tables are looked at."""

    scenario: tuple[Mapping[str, Any], ...] = ()
    defense: tuple[Mapping[str, Any], ...] = ()
    ratios: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    probes: tuple[str, ...] = ("mlp",)
    device: str = "auto"
    precision: str = "auto"
    keep_encoders: bool = True


def read_config(path: str | Path) -> Bench:
    """Read a configuration.

    Paths in it start from its folder; images are looked for in the folder that MIMIC_DATA names
    first.

    Raises:
        InputError: it cannot be read, or something in it is missing, unknown or out of range.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no configuration '{path}'; check its path") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' cannot be read as TOML: {error}") from error
    try:
        return _bench(values, home=path.resolve().parent)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from error


def _bench(values: Mapping[str, Any], *, home: Path) -> Bench:
    asked: _Document = read_table(_Document, values, "the configuration")
    data = find_data().resolve() if os.environ.get(DATA_VARIABLE) else None
    return Bench(
        scenarios=tuple(
            read_scenario(table, f"scenario {number}", home=home, data=data)
            for number, table in enumerate(asked.scenario, start=1)
        ),
        contenders=tuple(
            _contender(table, f"defence {number}")
            for number, table in enumerate(asked.defense, start=1)
        ),
        ratios=asked.ratios,
        counts=asked.counts,
        seeds=asked.seeds,
        probes=asked.probes,
        device=asked.device,
        precision=asked.precision,
        keep_encoders=asked.keep_encoders,
    )


def _contender(table: Mapping[str, Any], where: str) -> Contender:
    settings = dict(table)
    name = parse(str, settings.pop("name", None), f"the name of {where}")
    label = parse(str, settings.pop("label", name), f"the label of {where}")
    check_names([name], DEFENSES, "defence", "the configuration")
    if not label.isprintable() or not label.strip():
        raise InputError(f"{where} has the label {label!r}, which cannot be shown")
    if "seed" in settings:
        raise InputError(f"{where} has a seed; list seeds for all defences at the top instead")
    base = DEFENSES[name]
    known = [field.name for field in fields(base) if field.name != "seed"]
    check_names(settings, known, "setting", f"defence '{name}'")
    hints = get_type_hints(type(base))
    typed = {key: parse(hints[key], value, f"{name}.{key}") for key, value in settings.items()}
    defense = replace(base, **typed)
    _check_plan(defense, where)
    return Contender(label=label, name=name, defense=defense)


def _check_plan(defense: Defense, where: str) -> None:
    """Refuse settings that no training takes; a defence would do so only when it starts one."""
    shared = {f.name: getattr(defense, f.name) for f in fields(Plan) if hasattr(defense, f.name)}
    try:
        Plan(**shared)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _check_distinct(what: str, values: Any) -> None:
    if not values:
        raise InputError(f"a benchmark needs at least one {what}")
    for value in values:
        if list(values).count(value) > 1:
            hint = "; give each a label" if what == "defence" else ""
            raise InputError(f"the {what} '{value}' is there more than once{hint}")
