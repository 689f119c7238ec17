"""The table of docs/verification.md that holds verdicts against the truth."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_tables import NOT_MEASURED, table


def verdict_block(file: Path) -> str:
    """A row for each purification, and how often the verdict was right.

    Args:
        file: that `benchmarks/verdicts.py` wrote.
    """
    if not file.exists():
        return NOT_MEASURED
    found = json.loads(file.read_text(encoding="utf-8"))
    rows = [
        [
            f"`{row['member']}`",
            f"`{row['defense']}`",
            _success(row["rates"]),
            f"{_change(row['rates']):+.1f}",
            "success" if row["success"] else "failure",
            row["verdict"].replace("_", " "),
        ]
        for row in sorted(found["pairs"], key=lambda row: (row["member"], -_left(row)))
    ]
    columns = ("member", "defence", "attack success (%)", "accuracy, worst", "truth", "verdict")
    return f"{table(columns, rows)}\n\n{_counted(found['counts'])}"


def _counted(counts: Mapping[str, Any]) -> str:
    every, held = counts["all"], counts["held_out"]
    agreed = "none" if every["agreement"] is None else f"{100 * every['agreement']:.0f} %"
    undecided = every["undecided_successes"] + every["undecided_failures"]
    return (
        f"{every['pairs']} purifications, {every['successes']} of them successes, "
        f"{held['pairs']} of attacks that the thresholds were not set by. Undecided: {undecided}; "
        f"of the other verdicts {agreed} are right. Failures that were accepted: "
        f"{every['failed_but_accepted']}."
    )


def _success(rates: Mapping[str, Any]) -> str:
    """As in `4.6 (2.4)`: purified, and clean in parentheses, on the task that is aimed at."""
    own = next(own for own in rates.values() if own["purified"]["attack_success_rate"] is not None)
    purified, clean = (100 * own[one]["attack_success_rate"] for one in ("purified", "clean"))
    return f"{purified:.1f} ({clean:.1f})"


def _change(rates: Mapping[str, Any]) -> float:
    """Points of accuracy above the suspect, on the task where most is lost."""
    return min(
        100 * (own["purified"]["accuracy"] - own["suspect"]["accuracy"]) for own in rates.values()
    )


def _left(row: Mapping[str, Any]) -> float:
    return max(own["purified"]["attack_success_rate"] or 0.0 for own in row["rates"].values())
