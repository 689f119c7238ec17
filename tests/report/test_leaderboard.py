"""The leaderboard as a whole: what is read, what is said, and that no name is obeyed."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from mimic.benchmark.cards import CARDS
from mimic.errors import InputError
from mimic.report.leaderboard import gather, read_leaderboard, render_leaderboard

from .elements import Elements
from .leaderboard_support import benchmark, card, failed_card, result, write_cards

EVIL = "</script><script>alert(1)</script>"


def page(cards, **settings) -> str:
    return render_leaderboard(gather(cards, folder="results/bench", **settings))


@pytest.fixture(scope="module")
def html() -> str:
    cards = benchmark(ratios=(0.01, 0.04), probes=("mlp", "knn"))
    return page([*cards, failed_card(scenario="small-ctrl", encoder_sha256="1a" * 32)])


def test_the_same_cards_give_the_same_page(html):
    cards = benchmark(ratios=(0.01, 0.04), probes=("mlp", "knn"))
    again = page([*cards, failed_card(scenario="small-ctrl", encoder_sha256="1a" * 32)])
    assert again == html


def test_the_heading_says_who_ranks_first(html):
    assert "<h1>mimic ranks first of 5 defences over 3 scenarios</h1>" in html


def test_a_shared_first_rank_is_shared():
    cards = [card("mimic", results=result(0.6, 0.2)), card("nad", results=result(0.5, 0.1))]
    html = page(cards)
    assert "<h1>mimic and nad share the first rank of 2 defences against small-badencoder" in html


def test_where_another_defence_is_first_the_page_says_so_and_where_mimic_stands():
    cards = [card("mimic", results=result(0.5, 0.2)), card("nad", results=result(0.6, 0.1))]
    html = page(cards)
    assert "<h1>nad ranks first of 2 defences" in html
    assert "mimic (number 2) 50.0\u00a0% accuracy and 20.0\u00a0% attack success" in html


def test_every_number_is_in_the_table_without_any_script(html):
    table = html[html.index('id="standings"') : html.index("</table>")]
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:]
    views, scopes, entries = 2 * 2 * 2, 4, 7
    assert len(rows) == views * scopes * entries
    assert not any(" hidden" in row for row in rows)


def test_only_one_figure_and_one_pair_of_heat_maps_show_without_a_script(html):
    shown = [a for a in Elements(html).of("figure") if "hidden" not in a]
    assert len(shown) == 3  # the scatter, and a curve of each measure
    maps = [a for a in Elements(html).of("div") if "heatmap" in (a.get("class") or "")]
    assert len([a for a in maps if "hidden" not in a]) == 2


def test_nothing_is_fetched_from_anywhere(html):
    elements = Elements(html)
    sources = [*elements.values("src"), *elements.values("href"), *elements.values("xlink:href")]
    assert sources == ["data:,"]
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_of_the_page_allows_its_own_script_and_style_and_nothing_else(html):
    (policy,) = (a["content"] for a in Elements(html).of("meta") if "http-equiv" in a)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    allowed = {
        f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for kind, text in (("script", script), ("style", style))
    }
    assert set((policy or "").split("; ")) == allowed | {
        "default-src 'none'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    }


def test_no_two_elements_share_an_id(html):
    ids = Elements(html).values("id")
    assert len(ids) == len(set(ids))


def test_every_label_names_an_element_of_the_page(html):
    elements = Elements(html)
    assert set(elements.values("aria-labelledby")) <= set(elements.values("id"))


def test_every_drawing_has_words_for_those_who_do_not_see_it(html):
    drawings = [a for a in Elements(html).of("svg") if "aria-hidden" not in a]
    assert drawings
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)


def test_every_table_has_a_caption_and_headings(html):
    elements = Elements(html)
    assert len(elements.of("caption")) == len(elements.of("table"))
    assert all(a.get("scope") in ("col", "row") for a in elements.of("th"))


EVIL_FIELDS = {
    "scenario": EVIL,
    "attack": EVIL,
    "label": EVIL,
    "defense": EVIL,
    "trigger": EVIL,
    "images": EVIL,
    "machine": EVIL,
    "commit": EVIL,
    "encoder_sha256": EVIL,
    "versions": {EVIL: EVIL},
    "settings": {EVIL: EVIL},
    "probes": (EVIL,),
    "tasks": {EVIL: {}},
}


def assert_harmless(html: str) -> None:
    elements = Elements(html)
    assert len(elements.of("script")) == 1
    assert html.count("</script>") == 1
    assert not elements.of("img")
    assert not [name for name in elements.values("class") if "alert" in name]


@pytest.mark.parametrize("field", EVIL_FIELDS)
def test_markup_in_a_card_stays_text(field):
    html = page([card(**{field: EVIL_FIELDS[field]}), card("nad", seed=1)])
    assert_harmless(html)


def test_a_scenario_named_script_is_shown_by_that_name():
    html = page([card(scenario="<script>"), card(scenario='" onload="alert(1)')])
    assert_harmless(html)
    assert "&lt;script&gt;" in html
    assert not Elements(html).values("onload")


def test_markup_in_results_and_errors_and_remarks_stays_text():
    cards = [
        card(results={EVIL: {EVIL: card().results["gtsrb"]["mlp"]}}),
        failed_card(EVIL, settings={EVIL: [EVIL]}),
    ]
    assert_harmless(page(cards, remarks=[EVIL]))


def test_failed_cells_are_listed_with_their_error(html):
    table = html[html.index('id="failures"') :]
    assert "the loss &#39;clone&#39; became NaN in epoch 3" in table
    assert "NonFiniteLossError" in table


def test_a_failed_cell_is_marked_in_the_heat_map():
    cards = [card(), card("nad", scenario="b"), failed_card("nad")]
    heat = page(cards).partition('id="heat-')[2].partition("</table>")[0]
    assert ">failed</td>" in heat


def test_cards_that_all_failed_still_have_a_page():
    html = page([failed_card("mimic"), failed_card("nad")])
    assert "<h1>No cell has a result yet</h1>" in html
    assert 'id="failures"' in html
    assert 'id="standings"' not in html


def test_a_benchmark_of_one_card_has_a_page():
    html = page([card()])
    assert "<h1>mimic ranks first of 1 defence against small-badencoder</h1>" in html
    assert 'id="tests"' not in html


def test_without_any_attack_there_is_no_scatter_but_a_table():
    html = page([card("mimic", results=result(0.6)), card("nad", results=result(0.5))])
    assert "<figure" not in html
    assert 'id="standings"' in html


def test_curves_need_several_shares_of_images():
    assert 'id="curves"' not in page(benchmark())


def test_the_page_says_how_small_a_p_value_can_get(html):
    assert "With 3 scenarios none can be below 0.25" in html
    assert "after the correction for 4 defences not below 1." in html


def test_the_page_says_what_is_compared_and_what_is_not_covered(html):
    assert "What a seed does to all scenarios alike" in html
    assert ">3 scenarios</td>" in html
    assert ">3 seeds</td>" in page(benchmark(scenarios=["small-ctrl"]))


def test_provenance_and_settings_are_on_the_page(html):
    for text in ("cifar10:train", "torch 2.13", "0123abc", "x86_64 CPU", "1 thread(s)"):
        assert text in html
    assert "&#34;epochs&#34;: 100" in html
    assert "mimic report results/bench" in html


def test_what_is_shown_first_is_the_attacked_task_and_the_amount_with_most_cells():
    cards = [
        *(card(ratio=0.01, seed=seed, results=result(0.5, 0.1)) for seed in (0, 1)),
        card(ratio=0.1, results=result(0.6, 0.1)),
    ]
    assert "and 1 % of the images: mimic 50.0" in page(cards)


def test_facts_survive_json():
    board = gather(benchmark(ratios=(0.01, 0.04)), folder="f")
    facts = json.loads(json.dumps(board.as_dict(), allow_nan=False))
    assert facts["format"] == 1
    assert facts["reference"] == "mimic"
    assert len(facts["rows"]) == len(board.rows)


def test_cards_are_read_from_the_folder_of_the_benchmark(tmp_path):
    write_cards(tmp_path, [card(), card("nad")])
    board = read_leaderboard(tmp_path)
    assert (board.cards, [one.label for one in board.entrants]) == (2, ["mimic", "nad"])


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: (folder / CARDS).mkdir()])
def test_a_folder_without_cards_is_refused(tmp_path, make):
    make(tmp_path)
    with pytest.raises(InputError, match=r"there are no cards in .*'mimic bench' wrote"):
        read_leaderboard(tmp_path)


def test_a_broken_card_is_left_out_with_a_warning_and_a_remark(tmp_path):
    write_cards(tmp_path, [card(), card("nad")])
    broken = tmp_path / CARDS / "0001.json"
    broken.write_text(broken.read_text()[:200])
    with pytest.warns(UserWarning, match=r"left out: .*0001\.json"):
        board = read_leaderboard(tmp_path)
    assert board.cards == 1
    assert "0001.json" in board.remarks[0]
    assert "0001.json" in render_leaderboard(board)


def test_a_folder_of_broken_cards_only_is_refused(tmp_path: Path):
    write_cards(tmp_path, [card()])
    (tmp_path / CARDS / "0000.json").write_text("{")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(InputError, match="none of the 1 cards"),
    ):
        read_leaderboard(tmp_path)


def test_two_cards_of_one_cell_are_refused():
    with pytest.raises(InputError, match=r"2 cards are about the same cell \('mimic' against"):
        gather([card(), card()], folder="f")


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"encoder_sha256": "cd" * 32}, "about 2 different encoders"),
        ({"settings": {"epochs": 7}}, "2 different settings"),
    ],
)
def test_cards_that_do_not_fit_together_are_doubted(changes, remark):
    board = gather([card(seed=0), card(seed=1, **changes)], folder="f")
    assert remark in board.remarks[0]


def test_the_seed_among_the_settings_is_no_difference():
    assert gather([card(seed=0), card(seed=1)], folder="f").remarks == ()
