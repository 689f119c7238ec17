"""Tables of benchmarks in the docs: what their cards say."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ..benchmark.support import evaluation

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tables(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("bench_tables")


def rates(gtsrb: float, cifar10: float, success: float | None) -> dict[str, Any]:
    none = {"attack_success_rate": None}
    return {
        "gtsrb": {"mlp": evaluation(accuracy=gtsrb, attack_success_rate=success)},
        "cifar10": {"mlp": evaluation(accuracy=cifar10) | none},
    }


def write(folder: Path, scenario: str, label: str, results: dict[str, Any], **changes: Any) -> None:
    (card,) = (ROOT / "results" / "shares" / "cards").glob("small-badencoder_*seed0*.json")
    clean, suspect = rates(0.62, 0.67, 0.001), rates(0.61, 0.66, 0.9)
    values = json.loads(card.read_text(encoding="utf-8")) | {
        "scenario": scenario,
        "label": label,
        "results": results,
        "controls": {"suspect": suspect, "clean": clean},
        **changes,
    }
    (folder / "cards").mkdir(parents=True, exist_ok=True)
    name = f"{scenario}-{label}-{values['seed']}.json"
    (folder / "cards" / name).write_text(json.dumps(values), encoding="utf-8")


def rows(block: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]


def test_without_cards_there_is_no_table(tables, tmp_path):
    assert "no table" in tables.default_block(tmp_path, tmp_path / "older", tmp_path / "fixed")
    assert "no table" in tables.grid_block(tmp_path)
    assert tables.leaderboard_page(tmp_path) is None


def test_the_default_has_a_row_for_each_member_with_both_of_its_controls(tables, tmp_path):
    write(tmp_path, "b", "mimic", rates(0.60, 0.65, 0.01))
    write(tmp_path, "a", "mimic", rates(0.59, 0.65, None))
    first, second = rows(tables.default_block(tmp_path, tmp_path / "older", tmp_path / "fixed"))[2:]
    assert (first[0], second[0]) == ("`a`", "`b`")
    assert first[3] == "90.0 → ? (0.1)"
    assert second[3:] == ["90.0 → 1.0 (0.1)", "61.0 → 60.0 (62.0)", "66.0 → 65.0 (67.0)"]


def test_the_default_is_a_mean_over_seeds(tables, tmp_path):
    write(tmp_path, "a", "mimic", rates(0.60, 0.65, 0.01))
    write(tmp_path, "a", "mimic", rates(0.62, 0.65, 0.03), seed=1)
    (row,) = rows(tables.default_block(tmp_path, tmp_path / "older", tmp_path / "fixed"))[2:]
    assert (row[2], row[3]) == ("2", "90.0 → 2.0 (0.1)")


def test_sharing_has_a_row_for_each_member_that_was_run_both_ways(tables, tmp_path):
    shared, fixed = tmp_path / "zoo", tmp_path / "shares"
    assert "no table" in tables.beside_block(fixed, shared, tables.FIXED)
    write(fixed, "a", "fixed", rates(0.60, 0.65, 0.07))
    write(shared, "a", "mimic", rates(0.61, 0.64, 0.02))
    write(shared, "a", "mimic", rates(0.50, 0.50, 0.50), seed=1)
    write(shared, "b", "mimic", rates(0.60, 0.65, 0.01))
    (row,) = rows(tables.beside_block(fixed, shared, tables.FIXED))[2:]
    assert row == ["`a`", "7.0 → 2.0 (0.1)", "60.0 → 61.0 (62.0)", "65.0 → 64.0 (67.0)"]


def test_earlier_measurements_stand_in_with_a_star_the_latest_first(tables, tmp_path):
    now, earlier, fixed = tmp_path / "zoo", tmp_path / "earlier", tmp_path / "shares"
    for member in ("a", "b", "c"):
        write(fixed, member, "fixed", rates(0.60, 0.65, 0.07))
    write(fixed, "a", "more-waves", rates(0.60, 0.65, 0.09))
    for member in ("b", "c"):
        write(earlier, member, "mimic", rates(0.60, 0.65, 0.04))
    write(now, "c", "mimic", rates(0.60, 0.65, 0.01))
    told = [(row[0], row[3]) for row in rows(tables.default_block(now, earlier, fixed))[2:]]
    assert told == [
        ("`a` \\*", "90.0 → 7.0 (0.1)"),
        ("`b` \\*", "90.0 → 4.0 (0.1)"),
        ("`c`", "90.0 → 1.0 (0.1)"),
    ]


def test_defences_are_points_from_the_clean_encoder_sorted_by_attack_success(tables, tmp_path):
    write(tmp_path, "a", "weak", rates(0.62, 0.67, 0.801))
    write(tmp_path, "b", "weak", rates(0.60, 0.66, 0.401))
    write(tmp_path, "a", "good", rates(0.61, 0.65, 0.011))
    first, second = rows(tables.grid_block(tmp_path))[2:4]
    assert first == ["`good`", "1", "+1.0", "+1.0", "-1.0", "-2.0"]
    assert second == ["`weak`", "2", "+60.0", "+80.0", "-1.0", "-0.5"]


def test_a_page_of_a_defence_has_its_own_cards_and_one_of_a_family_those_of_all(tables, tmp_path):
    write(tmp_path, "a", "anp", rates(0.60, 0.65, 0.8), defense="anp")
    write(tmp_path, "a", "distill-at", rates(0.60, 0.65, 0.2), defense="distill-at")
    write(tmp_path, "a", "distill-kd", rates(0.60, 0.65, 0.1), defense="distill-kd")
    blocks = tables.defense_blocks(tmp_path, ["anp", "bnp", "distillation"])
    found = {page: rows(block)[4:] for page, block in blocks.items()}
    assert [row[:3] for row in found["anp"]] == [["`anp`", "`a`", "90.0 → 80.0 (0.1)"]]
    assert [row[0] for row in found["distillation"]] == ["`distill-at`", "`distill-kd`"]
    assert blocks["bnp"] == "Not measured here yet."


def test_failed_cells_are_left_out(tables, tmp_path):
    write(tmp_path, "a", "mimic", {}, error={"type": "RunError", "message": "no"})
    assert "no table" in tables.grid_block(tmp_path)


def test_the_page_does_not_name_a_folder_of_this_machine(tables, tmp_path):
    write(tmp_path, "a", "mimic", rates(0.60, 0.65, 0.01))
    page = tables.leaderboard_page(tmp_path)
    assert page == tables.leaderboard_page(tmp_path)
    assert str(tmp_path.parent) not in page
