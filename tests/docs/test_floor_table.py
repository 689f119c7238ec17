"""The table of what triggers do to clean encoders."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tables(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("floor_table")


def test_without_a_measurement_there_is_no_table(tables, tmp_path):
    assert "no table" in tables.floor_block(tmp_path / "floors.json", ROOT / "zoo")


def test_members_with_one_trigger_share_a_row(tables, tmp_path):
    def rates(*values: float) -> dict[str, object]:
        return {str(i): {"aimed": {"attack_success_rate": v}} for i, v in enumerate(values)}

    for name, trigger in (("a", "patch:2@1,1"), ("b", "ctrl"), ("c", "patch:2@1,1")):
        card = {
            "trigger": trigger,
            "tasks": {"other": {"target": None}, "aimed": {"target": 3}},
            "neighbours": {"aimed": {"attack_success_rate": 0.9}},
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(card))
    patch = rates(0.01, 0.05, 0.002)
    floors = {"a": patch, "b": rates(0.004, 0.15), "c": patch}
    (tmp_path / "floors.json").write_text(json.dumps(floors))
    lines = tables.floor_block(tmp_path / "floors.json", tmp_path).splitlines()[2:]
    assert lines == [
        "| `a` 90.0, `c` 90.0 | `patch:2@1,1` | 3 | 0.2 | 1.0 | 5.0 |",
        "| `b` 90.0 | `ctrl` | 2 | 0.4 | 7.7 | 15.0 |",
    ]
