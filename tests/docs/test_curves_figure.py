"""The figure of what students learn by epoch: drawn from what was measured, and nothing else."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def figure(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("curves_figure")


def point(
    epoch: int, accuracy: float, success: float, kept: float = 0.5, left: float = 0.1
) -> dict[str, Any]:
    rates = {"accuracy": accuracy, "attack_success_rate": success}
    return {"epoch": epoch, "gtsrb": rates, "mutual_neighbours": kept, "residue": left}


def write(folder: Path, name: str, *points: dict[str, Any]) -> None:
    run = {"member": "small-badencoder", "points": points}
    (folder / f"{name}.json").write_text(json.dumps(run))


def test_without_runs_there_is_no_figure(figure, tmp_path):
    assert figure.curves_figure(tmp_path, ROOT / "zoo") is None


def lines_of(svg: str) -> list[list[str]]:
    drawn = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}polyline")
    return [line.get("points").split() for line in drawn if line.get("stroke-dasharray") == "none"]


def test_each_student_has_a_line_in_every_panel(figure, tmp_path):
    write(tmp_path, "mimic", point(1, 0.1, 0.5), point(10, 0.3, 0.0))
    write(tmp_path, "mimic-no-change", point(1, 0.1, 0.5), point(10, 0.33, 1.0, 1.0, -0.01))
    svg = figure.curves_figure(tmp_path, ROOT / "zoo")
    assert "the default: 30.0 % and 0.0 % after 10 epochs" in svg
    assert "sees what the teacher sees: 33.0 % and 100.0 % after 10 epochs" in svg
    lines = lines_of(svg)
    assert len(lines) == 8
    assert all(len(line) == 2 for line in lines)
    last = [line[-1].split(",")[1] for line in lines]
    assert set(last[2:4]) == {"360", "60"}  # nothing of the backdoor left, and all
    assert last[5] == "460"  # all neighbours kept
    assert last[7] == "760"  # less than nothing left of the door is nothing
