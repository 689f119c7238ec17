"""The table of the zoo: what each member's card expects, and what its trigger does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_tables import table

from mimic.zoo import Card, read_zoo
from mimic.zoo.card import told_success

COLUMNS = (
    "member",
    "GTSRB (%)",
    "CIFAR-10 (%)",
    "attack success (%)",
    "on the clean twin (%)",
    "S, clean",
    "S, triggered",
    "PSNR (dB)",
    "SSIM",
)


def zoo_block(zoo: Path, signs: Path) -> str:
    """The generated part of docs/zoo.md.

    Args:
        zoo: folder of the cards; without one there is no table.
        signs: results/zoo_signs.json; where it or a row is missing, cells stay empty.

    Raises:
        InputError: a card is unreadable.
    """
    cards = read_zoo(zoo) if zoo.is_dir() else {}
    if not cards:
        return "No member has a card yet, so there is no table here."
    known = json.loads(signs.read_text(encoding="utf-8")) if signs.exists() else {}
    ordered = sorted(cards.values(), key=lambda card: (card.backdoored, card.name))
    rows = [_cells(card, known.get(card.name, {})) for card in ordered]
    remarks = [f"- `{card.name}`: {remark}" for card in ordered for remark in card.remarks]
    return "\n\n".join(filter(None, [table(COLUMNS, rows), "\n".join(remarks)]))


def _cells(card: Card, signs: Mapping[str, Any]) -> list[str]:
    return [
        f"`{card.name}`",
        *(_percent(card.expected.get(task, {}).get("accuracy")) for task in ("gtsrb", "cifar10")),
        _success(card) if card.backdoored else "",
        _percent(signs.get("attack_success_rate_on_twin")),
        _digits(signs.get("concentration_clean"), 2),
        _digits(signs.get("concentration_triggered"), 2),
        _digits(signs.get("psnr"), 1),
        _digits(signs.get("ssim"), 2),
    ]


def _success(card: Card) -> str:
    """Success on the task with a target, which it names, and the range of the heads."""
    for task, found in card.expected.items():
        if success := told_success(found):
            return f"{success}, {task}"
    return ""


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f}"


def _digits(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
