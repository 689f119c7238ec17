import re
from typing import Any

import pytest

from mimic.report.demo import demo_page
from mimic.report.page import render

from .elements import Elements


@pytest.fixture(scope="module")
def html(untouched_facts: dict[str, Any]) -> str:
    return render(demo_page(untouched_facts))


def test_the_verdict_compares_the_purified_encoder_with_the_clean_one(facts):
    assert demo_page(facts).verdict == (
        "The purified encoder opens to the trigger in 4.1\u00a0% of images, "
        "the clean one in 3.1\u00a0%."
    )


def test_the_verdict_is_the_first_heading(html):
    assert re.search(r"<h1[^>]*>The purified encoder opens to the trigger", html)


def test_a_run_that_keeps_its_rules_is_good_news(facts):
    assert demo_page(facts).tone == "good"


def test_a_run_that_breaks_a_rule_says_so(facts):
    facts["checks"]["it is removed"] = False
    page = demo_page(facts)
    assert page.tone == "bad"
    assert "Not all rules" in page.lead


@pytest.mark.parametrize("name", ["clean", "suspicious", "purified", "scratch"])
def test_each_encoder_has_a_row_with_its_interval(html, name):
    assert re.search(rf'<th scope="row">{name}.*?<td>[\d.]+\s%<small>[\d.]+ to ', html, re.DOTALL)


def test_nothing_is_fetched_from_anywhere(html):
    fetched = Elements(html)
    sources = [*fetched.values("src"), *fetched.values("href"), *fetched.values("xlink:href")]
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not fetched.of("link")
    assert "url(http" not in html
    assert "@import" not in html


def test_the_page_runs_no_script(html):
    assert not Elements(html).of("script")


def test_every_image_has_words_for_those_who_do_not_see_it(html):
    images = Elements(html).of("img")
    assert len(images) == 4
    assert all(image["alt"] for image in images)


def test_every_drawing_has_words_for_those_who_do_not_see_it(html):
    drawings = Elements(html).of("svg")
    assert len(drawings) == 6
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)


def test_no_two_elements_share_an_id(html):
    ids = Elements(html).values("id")
    assert len(ids) == len(set(ids))


def test_every_reference_inside_the_page_finds_its_element(html):
    elements = Elements(html)
    wanted = {link[1:] for link in elements.values("xlink:href")} | set(
        re.findall(r"url\(#([^)]+)\)", html)
    )
    assert wanted <= set(elements.values("id"))


def test_provenance_names_seed_versions_and_hashes(facts, html):
    assert "mimic demo --out out --seed 7" in html
    assert "torch 2.13" in html
    assert all(encoder["sha256"] in html for encoder in facts["encoders"])


def test_the_control_stands_beside_the_clean_encoder_in_the_notes(html):
    assert "Digits are easy." in html
    assert "reaches 96.6\u00a0% where the clean encoder reaches 96.7\u00a0%" in html
    assert "docs/results.md" in html


def test_a_control_that_is_much_worse_is_not_called_as_good(facts):
    facts["encoders"][3]["accuracy"] = 0.8
    assert "Digits are easy." not in render(demo_page(facts))


@pytest.mark.parametrize("search", [True, False])
def test_the_search_is_told_of_where_there_was_one(facts, search):
    facts["defense"]["search"] = search
    assert ("come from a search" in render(demo_page(facts))) == search


def test_a_resumed_run_does_not_pass_for_a_fast_one(facts):
    facts["resumed"] = True
    assert "an earlier call did a part" in demo_page(facts).provenance["Time"]


def test_markup_in_a_value_is_shown_and_not_obeyed(facts):
    facts["command"] = "<script>alert(1)</script>"
    facts["localization"]["stages"][0]["name"] = '"><img src=x>'
    html = render(demo_page(facts))
    assert not Elements(html).of("script")
    assert len(Elements(html).of("img")) == 4


def test_a_demo_without_localisation_still_has_a_page(facts):
    facts["localization"] = None
    assert "It was not measured." in render(demo_page(facts))


def test_a_purification_without_epochs_still_has_a_page(facts):
    facts["losses"] = {}
    assert len(Elements(render(demo_page(facts))).of("svg")) == 5


def test_the_same_facts_give_the_same_page(facts, html):
    assert render(demo_page(facts)) == html
