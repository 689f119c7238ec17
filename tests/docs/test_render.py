"""The rendered parts of docs/: what the cards say, always the same bytes, and up to date."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mimic.errors import InputError
from mimic.zoo import Card

from ..scripts import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _docs_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


@pytest.fixture
def render() -> ModuleType:
    import render

    return render


def _rates(accuracy: float, success: float) -> dict[str, Any]:
    return {
        "gtsrb": {"accuracy": accuracy, "attack_success_rate": success},
        "cifar10": {"accuracy": accuracy, "attack_success_rate": None},
    }


_PROVENANCE = {"versions": {"torch": "2.13"}, "commit": "abc1234", "machine": "x86_64 CPU"}


def write_zoo(root: Path) -> None:
    for name, success in (("small-clean", 0.01), ("small-badencoder", 0.98)):
        card = Card(
            name=name,
            sha256="ee" * 32,
            architecture="resnet10",
            backdoored=success > 0.5,
            expected=_rates(0.7, success),
            provenance=_PROVENANCE,
        )
        _write(root / "zoo" / f"{name}.json", card.as_dict())


def write_run(root: Path, variant: str, seed: int, success: float, **changes: Any) -> None:
    card = {
        "schema": 1,
        "encoder_sha256": "ee" * 32,
        "variant": variant,
        "seed": seed,
        "settings": {"epochs": 150, "seed": seed},
        "results": _rates(0.6, success),
        "old_head": _rates(0.5, success / 2),
        "cosine_to_suspect": {"clean": 0.9, "triggered": 0.5},
        "seconds": 600.0,
        **_PROVENANCE,
    }
    _write(root / "results" / "small-badencoder" / f"{variant}-seed{seed}.json", card | changes)


def _write(path: Path, card: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path, render: ModuleType) -> Path:
    """A repository with an empty page and no cards."""
    (tmp_path / "docs" / "commands").mkdir(parents=True)
    page = f"before\n{render.BEGIN}\n{render.END}\nafter\n"
    times_of = {"results.md": 1, "zoo.md": 1, "leaderboard.md": 7}
    times_of |= {"commands/scan.md": 1, "verification.md": 1}
    for name, times in times_of.items():
        (tmp_path / "docs" / name).write_text(times * page, encoding="utf-8")
    return tmp_path


def call(render: ModuleType, root: Path, *arguments: str) -> int:
    return render.main(arguments, docs=root / "docs", root=root)


def page_of(root: Path) -> str:
    return (root / "docs" / "results.md").read_text(encoding="utf-8")


def row_of(root: Path, name: str, *, table: int = 0) -> list[str]:
    lines = [line for line in page_of(root).splitlines() if line.startswith(f"| {name}")]
    return [cell.strip() for cell in lines[table].strip("|").split("|")]


def test_the_committed_pages_are_what_the_cards_say(render):
    assert render.main(["--check"]) == 0, "run python docs/render.py"


def test_without_cards_the_page_says_that_nothing_was_run(render, root):
    call(render, root)
    assert "No run of this scenario has a card yet" in page_of(root)
    assert not (root / "docs" / "pictures" / "results.svg").exists()


def test_prose_around_the_markers_stays(render, root):
    call(render, root)
    assert page_of(root).startswith("before\n")
    assert page_of(root).endswith("\nafter\n")


def test_a_row_holds_mean_and_sample_deviation_over_its_seeds(render, root):
    for seed, success in enumerate((0.02, 0.04, 0.06)):
        write_run(root, "mimic", seed, success)
    call(render, root)
    cells = row_of(root, "`mimic`")
    assert cells[1:4] == ["3", "60.0 ± 0.0", "4.0 ± 2.0"]


def test_a_second_table_holds_what_the_old_head_reaches(render, root):
    for seed, success in enumerate((0.02, 0.04, 0.06)):
        write_run(root, "mimic", seed, success)
    call(render, root)
    cells = row_of(root, "`mimic`", table=1)
    assert cells[1:] == ["3", "50.0 ± 0.0", "2.0 ± 1.0", "50.0 ± 0.0"]


def test_a_card_from_before_the_old_head_was_measured_is_refused(render, root, capsys):
    write_run(root, "mimic", 0, 0.02)
    path = root / "results" / "small-badencoder" / "mimic-seed0.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    del card["old_head"]
    _write(path, card)
    assert call(render, root) == 2
    assert "reference.py complete" in capsys.readouterr().err


def test_one_seed_has_no_spread_and_is_called_a_lead(render, root):
    write_run(root, "mimic", 0, 0.02)
    call(render, root)
    assert row_of(root, "`mimic`")[3] == "2.0"
    assert "a lead only: `mimic`" in page_of(root)


def test_what_was_not_run_is_named_and_has_no_row(render, root):
    write_run(root, "mimic", 0, 0.02)
    call(render, root)
    assert "Not run, so not in the table: `mimic-uniform`" in page_of(root)
    assert "| `scratch`" not in page_of(root)


def test_the_zoo_gives_the_clean_and_the_attacked_row(render, root):
    write_zoo(root)
    call(render, root)
    assert row_of(root, "clean encoder")[3] == "1.0"
    assert row_of(root, "attacked encoder")[3] == "98.0"


def test_a_second_rendering_changes_nothing(render, root):
    write_zoo(root)
    write_run(root, "mimic", 0, 0.02)
    call(render, root)
    files = {path: path.read_bytes() for path in (root / "docs").rglob("*.*")}
    call(render, root)
    assert {path: path.read_bytes() for path in (root / "docs").rglob("*.*")} == files


def test_check_fails_until_a_new_card_is_rendered(render, root):
    call(render, root)
    assert call(render, root, "--check") == 0
    write_run(root, "mimic", 0, 0.02)
    assert call(render, root, "--check") == 1
    call(render, root)
    assert call(render, root, "--check") == 0


def test_a_picture_without_cards_is_removed(render, root):
    write_run(root, "mimic", 0, 0.02)
    call(render, root)
    (root / "results" / "small-badencoder" / "mimic-seed0.json").unlink()
    call(render, root)
    assert not (root / "docs" / "pictures" / "results.svg").exists()


def test_cards_about_another_encoder_are_refused(render, root, capsys):
    write_zoo(root)
    write_run(root, "mimic", 0, 0.02, encoder_sha256="dd" * 32)
    assert call(render, root) == 2
    assert "different attacked encoders" in capsys.readouterr().err


def test_runs_with_other_settings_are_not_averaged(render, root, capsys):
    write_run(root, "mimic", 0, 0.02)
    write_run(root, "mimic", 1, 0.02, settings={"epochs": 10, "seed": 1})
    assert call(render, root) == 2
    assert "differ in their settings" in capsys.readouterr().err


def test_a_card_of_another_schema_is_refused(root):
    from cards import read_cards

    write_run(root, "mimic", 0, 0.02, schema=2)
    with pytest.raises(InputError, match="schema 2"):
        read_cards(root / "results" / "small-badencoder", root / "zoo")


def test_a_page_without_markers_is_refused(render, root, capsys):
    (root / "docs" / "results.md").write_text("nothing here", encoding="utf-8")
    assert call(render, root) == 2
    assert "lost a marker" in capsys.readouterr().err


def test_both_figures_are_well_formed_and_described(render, root):
    write_zoo(root)
    for variant in ("mimic", "a-new-one"):
        write_run(root, variant, 0, 0.02)
    call(render, root)
    for picture in ("method.svg", "results.svg"):
        tree = ET.parse(root / "docs" / "pictures" / picture)
        assert tree.find("{http://www.w3.org/2000/svg}title").text


def test_a_demo_is_drawn_where_the_readme_looks_for_it(render, root, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mimic.report.pictures.draw_result_picture", lambda *paths: asked.extend(paths)
    )
    assert call(render, root, "--demo", "demo.json") == 0
    assert asked == [Path("demo.json"), root / "docs" / "pictures" / "demo.png"]


def test_a_demo_that_is_none_is_refused(render, root, capsys):
    assert call(render, root, "--demo", str(root / "nowhere.json")) == 2
    assert "run 'mimic demo' first" in capsys.readouterr().err


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_script("benchmarks/reference.py")


def test_every_variant_of_the_benchmark_is_described(benchmark):
    from cards import METHODS

    assert set(METHODS) == set(benchmark.VARIANTS)


@pytest.mark.parametrize(
    "wording",
    [
        "`{ARCHITECTURE}`",
        "class {TARGET} of GTSRB",
        "{CLEAN_IMAGES:,} unlabelled",
        "{OUR_EPOCHS} epochs",
        "{EPOCHS} epochs",
    ],
)
def test_the_page_describes_the_scenario_that_is_run(benchmark, wording):
    assert wording.format(**vars(benchmark)) in (ROOT / "docs" / "results.md").read_text("utf-8")
