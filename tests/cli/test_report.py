"""`mimic report`: both files, what is printed, and clear words about what is not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mimic.benchmark.cards import CARDS

from ..report.leaderboard_support import card, failed_card, write_cards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cards(tmp_path / "bench", [card(), card("nad"), failed_card("clp")])


def test_both_files_are_written_and_named(run: Callable[..., Any], folder: Path) -> None:
    outcome = run("report", folder)
    assert (outcome.code, outcome.err) == (0, "")
    for name in ("leaderboard.html", "leaderboard.json"):
        assert (folder / name).is_file()
        assert str(folder / name) in outcome.out
    assert "3 cells, 1 of them failed: 3 defences against 1 scenario." in outcome.out


def test_the_page_is_that_of_the_cards(run: Callable[..., Any], folder: Path) -> None:
    run("report", folder)
    page = (folder / "leaderboard.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "mimic and nad share the first rank of 2 defences" in page


def test_json_is_the_facts_and_where_they_are(run: Callable[..., Any], folder: Path) -> None:
    outcome = run("report", folder, "--json")
    assert outcome.code == 0
    facts = json.loads((folder / "leaderboard.json").read_text(encoding="utf-8"))
    assert outcome.data == facts | {
        "report": str(folder / "leaderboard.html"),
        "facts": str(folder / "leaderboard.json"),
    }


def test_a_second_report_replaces_the_first(run: Callable[..., Any], folder: Path) -> None:
    first = run("report", folder, "--json").data
    assert run("report", folder, "--json").data == first
    assert sorted(path.name for path in folder.iterdir()) == [
        CARDS,
        "leaderboard.html",
        "leaderboard.json",
    ]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_a_folder_without_cards_is_wrong_use(
    run: Callable[..., Any], tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "empty")
    outcome = run("report", tmp_path / "empty", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "there are no cards in" in outcome.error
    assert not (tmp_path / "empty" / "leaderboard.html").exists()


def test_a_broken_card_is_a_warning(run: Callable[..., Any], folder: Path) -> None:
    (folder / CARDS / "0001.json").write_text("{", encoding="utf-8")
    outcome = run("report", folder)
    assert outcome.code == 0
    assert "mimic: warning: left out:" in outcome.err
    assert "2 cells" in outcome.out


def test_broken_cards_only_are_wrong_use(run: Callable[..., Any], folder: Path) -> None:
    for path in (folder / CARDS).iterdir():
        path.write_text("{}", encoding="utf-8")
    outcome = run("report", folder)
    assert (outcome.code, outcome.out) == (2, "")
    assert "none of the 3 cards" in outcome.error
