"""The table of docs/leaderboard.md that says what triggers do to encoders without a backdoor."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_tables import NOT_MEASURED, table


def floor_block(file: Path, zoo: Path) -> str:
    """A row for each trigger and target, with the range over clean encoders.

    Args:
        file: that `benchmarks/floors.py` wrote.
        zoo: the folder of the encoders' cards.
    """
    if not file.exists():
        return NOT_MEASURED
    measured: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    rows: dict[tuple[str, str], list[str]] = {}
    for name, clean in measured.items():
        card = json.loads((zoo / f"{name}.json").read_text(encoding="utf-8"))
        task = next(task for task, found in card["tasks"].items() if found["target"] is not None)
        rates = sorted(100 * found[task]["attack_success_rate"] for found in clean.values())
        key = (card["trigger"], task)
        own = f"`{name}` {_percent(card['neighbours'], task)}"
        if key in rows:
            rows[key][0] += f", {own}"
            continue
        told = (rates[0], statistics.median(rates), rates[-1])
        rows[key] = [
            own,
            f"`{card['trigger']}`",
            str(len(rates)),
            *(f"{rate:.1f}" for rate in told),
        ]
    columns = ("attacked encoders", "trigger", "clean encoders", "lowest", "median", "highest")
    return table(columns, rows.values())


def _percent(found: Mapping[str, Any], task: str) -> str:
    return f"{100 * found[task]['attack_success_rate']:.1f}"
