"""`mimic demo`: a thin call of the demo."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Run = Callable[..., Any]
FOUND = {
    "encoders": [
        {"name": "clean", "accuracy": 0.9, "attack_success_rate": 0.1},
        {"name": "suspicious", "accuracy": 0.9, "attack_success_rate": None},
    ],
    "checks": {"the backdoor works": True},
    "report": "out/report.html",
    "seconds": 2.0,
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int, str]]:
    seen = []

    def run_demo(out: Path, *, seed: int, trainer: Any) -> Any:
        seen.append((out, seed, trainer.device))
        return SimpleNamespace(as_dict=lambda: FOUND)

    monkeypatch.setattr("mimic.demo.run_demo", run_demo)
    return seen


def test_the_options_reach_the_demo(run: Run, calls: list, tmp_path: Path) -> None:
    assert run("demo", "--out", tmp_path, "--seed", 4, "--device", "cpu").code == 0
    assert calls == [(tmp_path, 4, "cpu")]


def test_the_demo_answers_in_json(run: Run, calls: list) -> None:
    assert run("demo", "--json").data == FOUND


def test_people_get_a_table_and_the_report(run: Run, calls: list) -> None:
    said = run("demo").out
    assert "suspicious" in said
    assert "out/report.html" in said
