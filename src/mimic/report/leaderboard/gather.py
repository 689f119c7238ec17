"""Gather the cards of a benchmark's folder into a leaderboard."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mimic.benchmark.cards import CARDS, ResultCard, read_result
from mimic.errors import InputError
from mimic.report.leaderboard.data import Amount, Entrant, FailedCell, Leaderboard, Scenario
from mimic.report.leaderboard.ranks import comparisons_of, ranks_of, reference_of
from mimic.report.leaderboard.rows import costs_of, grouped, rows_of


def read_leaderboard(folder: str | Path) -> Leaderboard:
    """Read what `mimic bench --out` wrote.

    A card that cannot be read is left out, with a warning and a remark in the result.

    Args:
        folder: it holds `cards/*.json`.

    Raises:
        InputError: there are no cards, none can be read, or two are about the same cell.
    """
    paths = sorted(Path(folder, CARDS).glob("*.json"))
    if not paths:
        raise InputError(
            f"there are no cards in '{Path(folder, CARDS)}'; name the folder that 'mimic bench' "
            "wrote"
        )
    cards, remarks = [], []
    for path in paths:
        try:
            cards.append(read_result(path))
        except InputError as error:
            remarks.append(f"left out: {error}")
            warnings.warn(remarks[-1], UserWarning, stacklevel=2)
    if not cards:
        raise InputError(
            f"none of the {len(paths)} cards in '{Path(folder, CARDS)}' can be read; "
            f"the first: {remarks[0].removeprefix('left out: ')}"
        )
    return gather(cards, folder=str(folder), remarks=remarks)


def gather(cards: Sequence[ResultCard], *, folder: str, remarks: Sequence[str] = ()) -> Leaderboard:
    """Everything that a leaderboard shows.

    Args:
        cards: at least one.
        folder: where they came from.
        remarks: what is known about them already.

    Raises:
        InputError: two cards are about the same cell.
    """
    _check_cells(cards)
    rows, reference = rows_of(cards), reference_of(cards)
    return Leaderboard(
        folder=folder,
        cards=len(cards),
        reference=reference,
        tasks=tuple(dict.fromkeys(t for card in cards for t in (*card.tasks, *card.results))),
        probes=_probes(cards),
        amounts=_amounts(cards),
        scenarios=_scenarios(cards),
        entrants=_entrants(cards),
        rows=rows,
        ranks=ranks_of(rows),
        comparisons=comparisons_of(cards, reference),
        costs=costs_of(cards),
        failures=_failures(cards),
        remarks=(*remarks, *_doubts(cards)),
        provenance=_provenance(cards),
    )


def _check_cells(cards: Sequence[ResultCard]) -> None:
    cells = grouped(cards, lambda card: (card.scenario, card.label, card.amount, card.seed))
    for (scenario, label, amount, seed), group in cells.items():
        if len(group) > 1:
            raise InputError(
                f"{len(group)} cards are about the same cell ('{label}' against '{scenario}', "
                f"{amount}, seed {seed}); remove all but one of them"
            )


def _doubts(cards: Sequence[ResultCard]) -> tuple[str, ...]:
    """Remarks about cards that do not fit together."""
    encoders = {
        name: {card.encoder_sha256 for card in group}
        for name, group in grouped(cards, lambda card: card.scenario).items()
    }
    settings = {
        label: {repr(_settings(card)) for card in group}
        for label, group in grouped(cards, lambda card: card.label).items()
    }
    return (
        *(
            f"the cards of scenario '{name}' are about {len(found)} different encoders: a mean "
            "over them says little"
            for name, found in encoders.items()
            if len(found) > 1
        ),
        *(
            f"the cards of defence '{label}' have {len(found)} different settings: a mean over "
            "them says little"
            for label, found in settings.items()
            if len(found) > 1
        ),
    )


def _probes(cards: Sequence[ResultCard]) -> tuple[str, ...]:
    asked = [probe for card in cards for probe in card.probes]
    found = [probe for card in cards for probes in card.results.values() for probe in probes]
    return tuple(dict.fromkeys(asked + found))


def _amounts(cards: Sequence[ResultCard]) -> tuple[Amount, ...]:
    """Shares first, then numbers, each ascending."""
    found = {Amount(name=card.amount, ratio=card.ratio, count=card.count) for card in cards}
    return tuple(sorted(found, key=lambda amount: (amount.count or 0, amount.ratio or 0.0)))


def _scenarios(cards: Sequence[ResultCard]) -> tuple[Scenario, ...]:
    return tuple(
        Scenario(
            name=name,
            attack=group[0].attack,
            trigger=group[0].trigger,
            encoder_sha256=group[0].encoder_sha256,
        )
        for name, group in grouped(cards, lambda card: card.scenario).items()
    )


def _entrants(cards: Sequence[ResultCard]) -> tuple[Entrant, ...]:
    return tuple(
        Entrant(
            label=label,
            defense=group[0].defense,
            settings=_settings(group[0]),
            done=sum(not card.failed for card in group),
            failed=sum(card.failed for card in group),
        )
        for label, group in grouped(cards, lambda card: card.label).items()
    )


def _settings(card: ResultCard) -> dict[str, Any]:
    return {name: value for name, value in card.settings.items() if name != "seed"}


def _failures(cards: Sequence[ResultCard]) -> tuple[FailedCell, ...]:
    return tuple(
        FailedCell(
            scenario=card.scenario,
            label=card.label,
            amount=card.amount,
            seed=card.seed,
            type=card.error.type,
            message=card.error.message,
        )
        for card in cards
        if card.error is not None
    )


def _provenance(cards: Sequence[ResultCard]) -> dict[str, tuple[str, ...]]:
    said = {
        "Clean images": [card.images for card in cards],
        "Seeds": [", ".join(map(str, sorted({card.seed for card in cards})))],
        "Versions": [", ".join(f"{k} {v}" for k, v in card.versions.items()) for card in cards],
        "Commit": [card.commit for card in cards if card.commit is not None],
        "Machine": [card.machine for card in cards],
        "Device": [f"{c.device}, {c.precision}, {c.threads} thread(s)" for c in cards],
    }
    return {kind: tuple(dict.fromkeys(texts)) for kind, texts in said.items() if texts}
