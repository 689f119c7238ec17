"""The tables of docs/commands/scan.md: what scans say of the zoo, and of clean encoders."""

import json
from collections.abc import Mapping, Sequence
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
    columns = ("member", "p", "most unusual", "p with three references", "DECREE: PL1")
    rows = [
        [
            f"`{name}`",
            _p(row["shipped"]),
            row["shipped"]["family"],
            _p(row["references"]),
            _pl1(row["decree"]),
        ]
        for name, row in ordered
    ]
    clean = {name: row for name, row in found["members"].items() if row["attack"] is None}
    parts = [table(columns, rows), _both(attacked, clean), _false_alarms(found["clean"])]
    return "\n\n".join(parts)


def auroc(attacked: Sequence[float], clean: Sequence[float]) -> float:
    """How often an attacked encoder scores higher than a clean one; a draw counts half."""
    pairs = [(one > other) + 0.5 * (one == other) for one in attacked for other in clean]
    return sum(pairs) / len(pairs)


def _both(attacked: Mapping[str, Any], clean: Mapping[str, Any]) -> str:
    """The scan and DECREE beside each other; each clean member is compared with the others."""
    columns = ("detector", "attacked, found", "clean, found", "AUROC")
    judges = {
        "scan": (
            lambda row: row["shipped"]["p_value"] <= LIMIT,
            lambda row: row["shipped"]["score"],
        ),
        "DECREE": (lambda row: row["decree"]["verdict"] == "suspicious", _certainty),
    }
    rows = [
        [
            name,
            *(f"{sum(map(found, rows.values()))} of {len(rows)}" for rows in (attacked, clean)),
            f"{auroc([*map(score, attacked.values())], [*map(score, clean.values())]):.2f}",
        ]
        for name, (found, score) in judges.items()
    ]
    return table(columns, rows)


def _certainty(row: Mapping[str, Any]) -> float:
    """The smaller the patch, the more certain is DECREE; without any it has nothing to say."""
    pl1 = row["decree"]["pl1"]
    return -1.0 if pl1 is None else -float(pl1)


def _pl1(found: Mapping[str, Any]) -> str:
    """Bold where DECREE calls it suspicious."""
    if found["pl1"] is None:
        return "none"
    told = f"{found['pl1']:.3f}"
    return f"**{told}**" if found["verdict"] == "suspicious" else told


def _false_alarms(clean: Mapping[str, Any]) -> str:
    wrong = [
        f"`{name}` (p = {row['p_value']:.3f}, {row['family']})"
        for name, row in clean.items()
        if row["p_value"] <= LIMIT
    ]
    lowest, nearest = min((row["p_value"], name) for name, row in clean.items())
    count = f"Of {len(clean)} clean encoders, each compared with the others, {len(wrong)} called"
    told = f"{count} suspicious{': ' if wrong else ''}{', '.join(wrong)}"
    return f"{told}; the smallest p is {lowest:.3f} (`{nearest}`)."


def _p(row: Mapping[str, Any] | None) -> str:
    """Bold where it is a finding."""
    if row is None:
        return "-"
    value = float(row["p_value"])
    digits = "< 0.001" if value < 0.001 else f"{value:.3f}" if value <= LIMIT else f"{value:.2f}"
    return f"**{digits}**" if value <= LIMIT else digits
