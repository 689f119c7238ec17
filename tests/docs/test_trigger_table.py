"""The table of what true triggers take away."""

import json
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def tables(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("trigger_table")


def row(member: str, seed: int, after: float, *, clean: float | None = 0.1, label: str = "mimic"):
    return {
        **{"member": member, "seed": seed, "label": label},
        **{"before": 0.95, "after": after, "clean": clean},
    }


def test_without_a_measurement_there_is_no_table(tables, tmp_path):
    assert "no table" in tables.trigger_block(tmp_path / "true_triggers.json")


def test_a_row_is_a_mean_over_seeds_of_the_latest_measurements(tables, tmp_path):
    file = tmp_path / "true_triggers.json"
    measured = [
        row("b", 0, 0.9),
        row("b", 1, 0.3),
        row("a", 0, 0.2, clean=None),
        row("b", 0, 0.1),  # made again
        row("b", 0, 0.8, label="other"),
    ]
    file.write_text(json.dumps(measured))
    assert tables.trigger_block(file).splitlines()[2:] == [
        "| `a` | 1 | 95.0 | 20.0 | ? |",
        "| `b` | 2 | 95.0 | 20.0 | 10.0 |",
    ]
