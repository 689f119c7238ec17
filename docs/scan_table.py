"""The tables of docs/commands/scan.md: what scans say of the zoo, and of clean encoders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_tables import table

LIMIT = 0.05


def scan_block(results: Path) -> str:
    """The generated part of docs/commands/scan.md.

    Args:
        results: results/zoo_scan.json, by `benchmarks/zoo_scan.py`; without it there is no table.
    """
    if not results.exists():
        return "No member was scanned yet, so there is no table here."
    found = json.loads(results.read_text(encoding="utf-8"))
    attacked = {name: row for name, row in found["members"].items() if row["attack"] is not None}
    ordered = sorted(attacked.items(), key=lambda item: item[1]["shipped"]["p_value"])
    columns = ("member", "p", "most unusual", "p with three references")
    rows = [
        [f"`{name}`", _p(row["shipped"]), row["shipped"]["family"], _p(row["references"])]
        for name, row in ordered
    ]
    return f"{table(columns, rows)}\n\n{_counts(attacked)}\n\n{_false_alarms(found['clean'])}"


def _counts(attacked: Mapping[str, Any]) -> str:
    found = sum(row["shipped"]["p_value"] <= LIMIT for row in attacked.values())
    return f"Found: {found} of {len(attacked)} attacked members."


def _false_alarms(clean: Mapping[str, Any]) -> str:
    wrong = [
        f"`{name}` (p = {row['p_value']:.3f}, {row['family']})"
        for name, row in clean.items()
        if row["p_value"] <= LIMIT
    ]
    count = f"Of {len(clean)} clean encoders, each compared with the others, {len(wrong)} called"
    return f"{count} suspicious{': ' if wrong else ''}{', '.join(wrong)}."


def _p(row: Mapping[str, Any] | None) -> str:
    """Bold where it is a finding."""
    if row is None:
        return "-"
    value = float(row["p_value"])
    digits = "< 0.001" if value < 0.001 else f"{value:.3f}" if value <= LIMIT else f"{value:.2f}"
    return f"**{digits}**" if value <= LIMIT else digits
