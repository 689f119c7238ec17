"""The leaderboard in headless Chromium: it sorts and filters, says nothing, and fetches nothing.

Where MIMIC_SCREENSHOTS names a folder, pictures of the made-up leaderboard are written there.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mimic.report.leaderboard import gather, render_leaderboard

from .browsing import NEEDS_CHROMIUM, contrasts
from .leaderboard_support import benchmark, card, failed_card, result

pytestmark = NEEDS_CHROMIUM
CONTRAST = contrasts("p, li, th, td, small, button, dt, dd, summary", visible_only=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with three scenarios, five defences, two tasks, two probes and two amounts."""
    cards = benchmark(ratios=(0.01, 0.04), probes=("mlp", "knn"))
    cards += [failed_card(scenario="small-ctrl", attack="ctrl", encoder_sha256="1a" * 32)]
    return saved(tmp_path_factory.mktemp("page"), cards)


def saved(folder: Path, cards: list[Any]) -> str:
    """The address of the page of these cards."""
    file = folder / "leaderboard.html"
    file.write_text(render_leaderboard(gather(cards, folder="results/bench")), encoding="utf-8")
    return file.as_uri()


def shown(page: Any, column: str) -> list[str]:
    """The first line of each visible cell of a column of the standings."""
    return page.evaluate(
        """(column) => {
          const table = document.getElementById("standings");
          const at = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent === column);
          return [...table.tBodies[0].rows].filter((row) => row.checkVisibility())
            .map((row) => row.cells[at].firstChild.textContent);
        }""",
        column,
    )


def figures(page: Any) -> list[str]:
    """Titles of the visible figures."""
    return page.locator("figure:visible .title").all_inner_texts()


def choose(page: Any, **choices: str) -> None:
    """Choose by what the options say."""
    for name, words in choices.items():
        page.locator(f"select[name={name}]").select_option(label=words)


def heading(page: Any, name: str) -> Any:
    return page.locator("#standings th", has=page.get_by_role("button", name=name, exact=True))


def test_the_page_says_nothing_and_fetches_nothing_whatever_is_chosen(visit, heard, address):
    page = visit(address)
    for select in page.locator("select").all():
        for value in select.locator("option").evaluate_all("all => all.map((o) => o.value)"):
            select.select_option(value)
    page.evaluate("document.querySelectorAll('th button').forEach((b) => (b.click(), b.click()))")
    assert [said for said in heard if said not in (address, "data:,")] == []


def test_at_first_the_mean_over_scenarios_is_shown_in_the_order_of_ranks(visit, address):
    page = visit(address)
    assert shown(page, "Defence")[:3] == ["clean encoder", "attacked encoder", "mimic"]
    assert len(shown(page, "Defence")) == 7
    assert figures(page)[0] == "mean over 3 scenarios"
    assert page.get_by_role("status").inner_text() == "7 rows shown"


def test_a_heading_sorts_down_and_then_up(visit, address):
    page = visit(address)
    button = page.locator("#standings").get_by_role("button", name="Accuracy", exact=True)
    button.click()
    found = [float(text) for text in shown(page, "Accuracy")]
    assert found == sorted(found, reverse=True)
    assert heading(page, "Accuracy").get_attribute("aria-sort") == "descending"
    button.click()
    assert [float(text) for text in shown(page, "Accuracy")] == sorted(found)
    assert heading(page, "Accuracy").get_attribute("aria-sort") == "ascending"


def test_only_one_heading_says_that_it_sorts(visit, address):
    page = visit(address)
    for name in ("Accuracy", "Attack success"):
        page.locator("#standings").get_by_role("button", name=name, exact=True).click()
    assert page.locator("#standings th[aria-sort]").all_inner_texts() == ["Attack success"]


def test_sorting_works_by_keyboard(visit, address):
    page = visit(address)
    page.locator("#standings").get_by_role("button", name="Defence", exact=True).focus()
    page.keyboard.press("Enter")
    names = shown(page, "Defence")
    assert names == sorted(names)
    page.keyboard.press("Space")
    assert shown(page, "Defence") == names[::-1]


def test_what_has_no_value_comes_last_in_both_directions(visit, address):
    page = visit(address)
    button = page.locator("#standings").get_by_role("button", name="Rank", exact=True)
    for _ in range(2):
        button.click()
        ranks = shown(page, "Rank")
        assert "\u2013" not in ranks[:5]
        assert ranks[5:] == ["\u2013", "\u2013"]


def test_a_scenario_is_chosen_for_table_and_figures(visit, address):
    page = visit(address)
    before = shown(page, "Accuracy")
    choose(page, scenario="drupe at 5 %")
    assert set(shown(page, "Scenario")) == {"drupe at 5 %"}
    assert shown(page, "Accuracy") != before
    assert len(figures(page)) == 3
    assert all("drupe at 5 %" in title for title in figures(page))


def test_every_scenario_is_shown_with_its_name(visit, address):
    page = visit(address)
    assert not page.locator("#standings th.by-scenario").is_visible()
    choose(page, scenario="every scenario, one by one")
    assert page.locator("#standings th.by-scenario").is_visible()
    assert len(shown(page, "Defence")) == 3 * 7
    assert len(set(shown(page, "Scenario"))) == 3


@pytest.mark.parametrize(
    ("dimension", "column", "words"),
    [("task", "Task", "cifar10"), ("probe", "Probe", "knn"), ("amount", "Clean images", "1 %")],
)
def test_task_probe_and_amount_are_chosen(visit, address, dimension, column, words):
    page = visit(address)
    before = shown(page, "Accuracy")
    choose(page, **{dimension: words})
    assert set(shown(page, column)) == {words}
    assert len(shown(page, column)) == 7
    assert shown(page, "Accuracy") != before


def test_a_choice_holds_for_all_tables(visit, address):
    page = visit(address)
    choose(page, task="cifar10")
    assert page.locator(".heatmap:visible").count() == 1
    assert page.locator("#ranks tbody tr:visible").count() == 5
    assert page.locator("#tests tbody tr:visible").count() == 4


def test_a_choice_without_results_says_so(visit, tmp_path):
    cards = [
        card(ratio=0.01, results=result(0.5, 0.1)),
        card(ratio=0.1, scenario="other", results=result(0.6, 0.1)),
    ]
    page = visit(saved(tmp_path, cards))
    choose(page, scenario="other (badencoder)", amount="1 %")
    assert page.get_by_role("status").inner_text() == "Nothing was measured with this choice."


def test_without_scripts_every_row_is_there(visit, address):
    page = visit(address, java_script_enabled=False)
    assert page.locator("#standings tbody tr:visible").count() == 2 * 2 * 2 * 4 * 7
    assert not page.locator("#choice").is_visible()
    assert page.locator("th.by-view").first.is_visible()


def test_a_scenario_named_script_stays_text(visit, heard, tmp_path):
    evil = "<script>alert(1)</script>"
    address = saved(tmp_path, [card(scenario=evil), card("nad", scenario="<img src=x onerror=y>")])
    page = visit(address)
    choose(page, scenario=f"{evil} (badencoder)")
    assert shown(page, "Scenario")[-1] == evil
    assert [said for said in heard if said not in (address, "data:,")] == []


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_is_never_wider_than_the_screen(visit, address, width):
    page = visit(address, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(visit, address, scheme):
    page = visit(address, color_scheme=scheme)
    found = page.evaluate(CONTRAST)
    assert len(found) > 100
    assert min(found) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pictures_for_the_docs(visit, address, tmp_path, scheme, width):
    folder = Path(os.environ.get("MIMIC_SCREENSHOTS", tmp_path))
    file = folder / f"leaderboard-{scheme}-{width}.png"
    page = visit(address, color_scheme=scheme, viewport={"width": width, "height": 1000})
    page.screenshot(path=file)
    with Image.open(file) as picture:
        corner = picture.convert("L").getpixel((2, 2))
        assert picture.size == (width, 1000)
    assert (corner > 200) == (scheme == "light")
