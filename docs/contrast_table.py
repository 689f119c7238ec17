"""The table of docs/leaderboard.md that says which images a trigger leads to its target class."""

import json
from pathlib import Path
from typing import Any

from bench_tables import NOT_MEASURED, percent, table


def contrast_block(file: Path) -> str:
    """A row for each encoder, a column for each fifth of the test images.

    Args:
        file: that `benchmarks/contrast.py` wrote.
    """
    if not file.exists():
        return NOT_MEASURED
    measured: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    columns = ["{:.2f} to {:.2f}".format(*fifth["contrast"]) for fifth in measured[0]["fifths"]]
    rows = [
        [f"`{row['encoder']}`", percent([row["attack_success_rate"]])]
        + [
            f"{percent([fifth['attack_success_rate']])} ({percent([fifth['class_changed']])})"
            for fifth in row["fifths"]
        ]
        for row in measured
    ]
    return table(["encoder", "all", *columns], rows)
