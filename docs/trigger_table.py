"""The table of docs/leaderboard.md that says what true triggers take away, before and after."""

import json
from pathlib import Path
from typing import Any

from bench_tables import NOT_MEASURED, percent, table

from mimic.report.leaderboard.rows import grouped


def trigger_block(file: Path, label: str = "mimic") -> str:
    """A row for each member that a defence was run on, means over seeds.

    Args:
        file: that `benchmarks/true_triggers.py` wrote.
        label: of the defence.
    """
    if not file.exists():
        return NOT_MEASURED
    measured: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    latest = {(row["member"], row["seed"]): row for row in measured if row["label"] == label}
    rows = sorted(latest.values(), key=lambda row: (row["member"], row["seed"]))
    told = [
        [f"`{member}`", f"{len(own)}"]
        + [percent([row[column] for row in own]) for column in ("before", "after", "clean")]
        for member, own in grouped(rows, lambda row: row["member"]).items()
    ]
    return table(("member", "seeds", "before", "after", "clean encoder"), told)
