"""The table of the zoo: numbers of the cards and of the signs, and nothing where there are none."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mimic.zoo import Card


@pytest.fixture
def zoo_table(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("zoo_table")


def write_card(folder: Path, name: str, success: float | None, *remarks: str) -> None:
    rates: dict[str, Any] = {"accuracy": 0.6234, "attack_success_rate": success}
    if success is not None:
        rates["heads"] = [{"attack_success_rate": success + less} for less in (-0.01, 0.0, 0.02)]
    card = Card(
        name=name,
        sha256="ee" * 32,
        architecture="resnet10",
        backdoored=success is not None,
        attack=None if success is None else "drupe",
        expected={"gtsrb": rates, "cifar10": {"accuracy": 0.5, "attack_success_rate": None}},
        remarks=remarks,
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(card.as_dict()), encoding="utf-8")


def rows(block: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in block.splitlines() if line[:3] == "| `"]
    return {cells[0].strip("`"): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_clean_members_come_first_and_have_no_success(zoo_table, tmp_path):
    write_card(tmp_path / "zoo", "a-drupe", 0.912)
    write_card(tmp_path / "zoo", "b-clean", None)
    found = rows(zoo_table.zoo_block(tmp_path / "zoo", tmp_path / "none.json"))
    assert list(found) == ["b-clean", "a-drupe"]
    assert found["a-drupe"][:3] == ["62.3", "50.0", "91.2 (90.2 to 93.2), gtsrb"]
    assert "".join(found["b-clean"][2:]).strip("| ") == ""


def test_what_the_trigger_does_comes_from_the_signs(zoo_table, tmp_path):
    write_card(tmp_path / "zoo", "a-drupe", 0.912)
    signs = {"concentration_clean": 0.3, "concentration_triggered": 0.551, "psnr": 15.04}
    row = signs | {"ssim": 0.875, "attack_success_rate_on_twin": 0.0123}
    (tmp_path / "signs.json").write_text(json.dumps({"a-drupe": row}), encoding="utf-8")
    found = rows(zoo_table.zoo_block(tmp_path / "zoo", tmp_path / "signs.json"))
    assert found["a-drupe"][3:] == ["1.2", "0.30", "0.55", "15.0", "0.88"]


def test_what_a_card_remarks_stands_below(zoo_table, tmp_path):
    write_card(tmp_path / "zoo", "a-drupe", 0.4, "weak: 40 %")
    assert zoo_table.zoo_block(tmp_path / "zoo", tmp_path / "none.json").endswith(
        "- `a-drupe`: weak: 40 %"
    )


def test_without_members_there_is_no_table(zoo_table, tmp_path):
    assert "no table" in zoo_table.zoo_block(tmp_path / "zoo", tmp_path / "none.json")
