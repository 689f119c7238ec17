"""The tables of the page about scans: what the results say."""

import json
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def scan_table(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("scan_table")


def judged(p_value: float, family: str = "patch", score: float = 1.0) -> dict[str, object]:
    return {"score": score, "p_value": p_value, "family": family}


def test_without_results_there_is_no_table(scan_table, tmp_path):
    assert "no table" in scan_table.scan_block(tmp_path / "zoo_scan.json")


def test_findings_come_first_and_are_bold_and_clean_members_are_not_rows(scan_table, tmp_path):
    results = {
        "members": {
            "missed": {
                "attack": "drupe",
                "shipped": judged(0.6),
                "references": None,
                "decree": {"pl1": None, "verdict": "inconclusive"},
            },
            "found": {
                "attack": "ctrl",
                "shipped": judged(0.0123, "wave", score=3.0),
                "references": judged(0),
                "decree": {"pl1": 0.05, "verdict": "suspicious"},
            },
            "clean": {
                "attack": None,
                "shipped": judged(0.01, score=2.0),
                "references": None,
                "decree": {"pl1": 0.2, "verdict": "clean"},
            },
        },
        "clean": {"clean": judged(0.01, "mark"), "other": judged(0.5)},
    }
    path = tmp_path / "zoo_scan.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    block = scan_table.scan_block(path)
    lines = block.splitlines()
    assert lines[2] == "| `found` | **0.012** | wave | **< 0.001** | **0.050** |"
    assert lines[3] == "| `missed` | 0.60 | patch | - | none |"
    assert "| scan | 1 of 2 | 1 of 1 | 0.50 |" in lines
    assert "| DECREE | 1 of 2 | 0 of 1 | 0.50 |" in lines
    assert (
        "Of 2 clean encoders, each compared with the others, 1 called suspicious: `clean`" in block
    )


def test_auroc_is_the_share_of_pairs_in_order(scan_table):
    assert scan_table.auroc([3, 1], [2, 0]) == 0.75
    assert scan_table.auroc([1], [1]) == 0.5
