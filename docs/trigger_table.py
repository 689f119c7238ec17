"""The table of docs/leaderboard.md that says what true triggers take away, before and after."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_tables import table

from mimic.report.leaderboard.rows import grouped


def trigger_block(file: Path, label: str = "mimic") -> str:
    """A row for each member that a defence was run on, means over seeds.

    Args:
        file: that `benchmarks/true_triggers.py` wrote.
        label: of the defence.
    """
    if not file.exists():
        return "Not measured yet, so there is no table here."
    measured: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    latest = {(row["member"], row["seed"]): row for row in measured if row["label"] == label}
    rows = sorted(latest.values(), key=lambda row: (row["member"], row["seed"]))
    told = [
        [f"`{member}`", f"{len(own)}"]
        + [_percent(own, column) for column in ("before", "after", "clean")]
        for member, own in grouped(rows, lambda row: row["member"]).items()
    ]
    return table(("member", "seeds", "before", "after", "clean encoder"), told)


def _percent(rows: list[Mapping[str, Any]], column: str) -> str:
    known = [row[column] for row in rows if row[column] is not None]
    return f"{100 * statistics.fmean(known):.1f}" if known else "?"
