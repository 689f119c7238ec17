"""The table of verdicts."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def tables(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("verdict_table")


def pair(member: str, success: float, verdict: str) -> dict[str, Any]:
    def rates(accuracy: float, rate: float | None) -> dict[str, float | None]:
        return {"accuracy": accuracy, "attack_success_rate": rate}

    return {
        "member": member,
        "defense": "mimic",
        "success": success < 0.1,
        "verdict": verdict,
        "rates": {
            "other, mlp": {
                **{"purified": rates(0.60, None), "suspect": rates(0.63, None)},
                "clean": rates(0.70, None),
            },
            "aimed, mlp": {
                **{"purified": rates(0.51, success), "suspect": rates(0.50, 0.98)},
                "clean": rates(0.55, 0.02),
            },
        },
    }


def test_without_a_measurement_there_is_no_table(tables, tmp_path):
    assert "no table" in tables.verdict_block(tmp_path / "verdicts.json")


def test_each_purification_has_a_row_and_the_worst_comes_first(tables, tmp_path):
    counts = {
        "pairs": 3,
        "successes": 2,
        "agreement": 0.5,
        "failed_but_accepted": 1,
        "undecided_successes": 1,
        "undecided_failures": 0,
    }
    pairs = [
        pair("b", 0.03, "undecided"),
        pair("a", 0.01, "accepted"),
        pair("b", 0.62, "not_accepted"),
    ]
    file = tmp_path / "verdicts.json"
    file.write_text(json.dumps({"pairs": pairs, "counts": {"all": counts, "held_out": counts}}))
    lines = tables.verdict_block(file).splitlines()
    assert lines[2:5] == [
        "| `a` | `mimic` | 1.0 (2.0) | -3.0 | success | accepted |",
        "| `b` | `mimic` | 62.0 (2.0) | -3.0 | failure | not accepted |",
        "| `b` | `mimic` | 3.0 (2.0) | -3.0 | success | undecided |",
    ]
    told = "Undecided: 1; of the other verdicts 50 % are right. Failures that were accepted: 1."
    assert lines[-1].endswith(told)
