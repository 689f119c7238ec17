"""Cards of the reference scenario: from JSON files to the rows of a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic.errors import InputError
from mimic.zoo import Card, read_card

SCHEMA = 1
METHODS = {
    "mimic": "the default of mimic",
    "mimic-uniform": "ablation: stages weigh the same, mutual information is not used",
    "mimic-fixed-shares": "ablation: every kind of change gets its usual share",
    "mimic-no-colours": "ablation: no search for colours",
    "mimic-no-waves": "ablation: no search for waves",
    "mimic-no-search": "ablation: random patches only",
    "mimic-no-change": "ablation: nothing is changed",
    "clone-only": "ablation: nothing is changed, features only",
    "mimic-published": "the released code of MIMIC",
    "mimic-described": "MIMIC as its paper says",
    "finetune": "baseline: contrastive fine-tuning",
    "scratch": "control: no teacher, the same images",
    "nothing": "control: the attacked encoder as it is",
}
ENCODERS = {
    "small-clean": ("clean encoder", "control: before the attack"),
    "small-badencoder": ("attacked encoder", "control: what the defender is given"),
}
CLEAN, ATTACKED = "small-clean", "small-badencoder"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: of the method or the encoder.
        note: what it is.
        seeds: those that were run, ascending; empty for an encoder of the zoo.
        values: numbers by column, one per seed; rates are fractions in [0, 1].
    """

    name: str
    note: str
    seeds: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that has a card.

    Attributes:
        encoders: by their name in the zoo.
        methods: in the order of `METHODS`; unknown ones come last.
        provenance: by kind ("commit", "machine", ...), what the cards say, without repetitions.
    """

    encoders: Mapping[str, Row]
    methods: tuple[Row, ...]
    provenance: Mapping[str, tuple[str, ...]]


def read_cards(results: Path, zoo: Path) -> Found:
    """Read `results`/*.json and the two cards of the scenario in `zoo`.

    Raises:
        InputError: a card is unreadable or of another schema, belongs to another attacked encoder,
            or the cards of one method have other settings than each other.
    """
    members = {name: zoo / f"{name}.json" for name in ENCODERS}
    encoders = {name: read_card(path) for name, path in members.items() if path.exists()}
    cards = [_read(path) for path in sorted(results.glob("*.json"))]
    _check_encoder(cards, encoders.get(ATTACKED))
    groups: dict[str, list[dict[str, Any]]] = {}
    for card in sorted(cards, key=lambda card: (_rank(card["variant"]), card["seed"])):
        groups.setdefault(card["variant"], []).append(card)
    return Found(
        encoders={name: _encoder_row(name, card) for name, card in encoders.items()},
        methods=tuple(_method_row(name, group) for name, group in groups.items()),
        provenance=_provenance([*(card.provenance for card in encoders.values()), *cards]),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        schema = card["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is not a card ({error!r}); run its measurement again"
        ) from error
    if schema != SCHEMA:
        raise InputError(f"card '{path}' has schema {schema}; only {SCHEMA} is understood")
    if "old_head" not in card:
        raise InputError(
            f"card '{path}' lacks a measurement; run python benchmarks/reference.py complete"
        )
    return card


def _check_encoder(cards: list[dict[str, Any]], attacked: Card | None) -> None:
    digests = {card["encoder_sha256"] for card in cards}
    if attacked is not None:
        digests.add(attacked.sha256)
    if len(digests) > 1:
        raise InputError(
            "the cards are about different attacked encoders "
            f"({', '.join(sorted(digest[:12] for digest in digests))}); measure them again"
        )


def _rank(variant: str) -> tuple[int, str]:
    known = list(METHODS)
    return (known.index(variant) if variant in known else len(known), variant)


def _method_row(name: str, group: list[dict[str, Any]]) -> Row:
    settings = [{k: v for k, v in card["settings"].items() if k != "seed"} for card in group]
    seeds = tuple(card["seed"] for card in group)
    if any(one != settings[0] for one in settings) or len(set(seeds)) != len(seeds):
        raise InputError(
            f"the cards of '{name}' repeat a seed or differ in their settings; "
            "an average over them would mean nothing"
        )
    columns = [
        _rates(card["results"])
        | _rates(card["old_head"], prefix="old head, ")
        | {
            "cosine, clean": card["cosine_to_suspect"]["clean"],
            "cosine, triggered": card["cosine_to_suspect"]["triggered"],
            "seconds": card["seconds"],
        }
        for card in group
    ]
    values = {key: tuple(one[key] for one in columns) for key in columns[0]}
    return Row(name=name, note=METHODS.get(name, ""), seeds=seeds, values=values)


def _encoder_row(name: str, card: Card) -> Row:
    values = {key: (value,) for key, value in _rates(card.expected).items()}
    title, note = ENCODERS[name]
    return Row(name=title, note=note, seeds=(), values=values)


def _rates(results: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}GTSRB accuracy": results["gtsrb"]["accuracy"],
        f"{prefix}attack success": results["gtsrb"]["attack_success_rate"],
        f"{prefix}CIFAR-10 accuracy": results["cifar10"]["accuracy"],
    }


def _provenance(cards: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    def all_of(kind: str, texts: list[str]) -> tuple[str, tuple[str, ...]]:
        return kind, tuple(sorted(set(texts)))

    versions = [
        ", ".join(f"{name} {version}" for name, version in card["versions"].items())
        for card in cards
    ]
    return dict(
        [
            all_of("Commit", [card["commit"] for card in cards]),
            all_of("Machine", [card["machine"] for card in cards]),
            all_of("Versions", versions),
        ]
    )
