"""The page of a dossier: the verdict first, every section where it has data, and nothing else."""

import re
from dataclasses import replace
from typing import Any

import pytest

from mimic.report.dossier.page import dossier_page
from mimic.report.page import render

from .dossier_support import canary, dossier, found_trigger, scanned, verified
from .elements import Elements

EVIL = '<script>alert(1)</script>"onerror=x'


def html_of(kind: Any = "scan", **changes: Any) -> str:
    return render(dossier_page(dossier(kind, **changes)))


def headings(kind: Any, **changes: Any) -> list[str]:
    return [section.heading for section in dossier_page(dossier(kind, **changes)).sections]


@pytest.mark.parametrize(
    ("kind", "changes", "words", "tone"),
    [
        ("scan", {}, "Do not build on this encoder", "bad"),
        ("scan", {"scan": scanned("clean")}, "No backdoor was found", "good"),
        ("verification", {}, "can take the place of the old one", "good"),
        (
            "verification",
            {"verification": verified("not_accepted")},
            "Do not use the purified encoder: the first reason.",
            "bad",
        ),
        (
            "verification",
            {"verification": verified("undecided")},
            "Not decided whether the purified encoder can be used: the first reason.",
            "neutral",
        ),
        (
            "purification",
            {"verification": None, "scan": None},
            "has not been checked yet",
            "neutral",
        ),
    ],
)
def test_the_verdict_is_one_sentence_with_a_tone(kind, changes, words, tone):
    page = dossier_page(dossier(kind, **changes))
    assert words in page.verdict
    assert page.tone == tone


def test_the_verdict_is_the_first_heading():
    assert re.search(r"<header>.*?<h1 class=\"bad\">Do not build", html_of(), re.DOTALL)


def test_a_clean_scan_says_that_it_proves_nothing():
    assert "does not prove" in dossier_page(dossier(scan=scanned("clean"))).lead


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (31.7, "None of 4 clean encoders scores as high"),
        (2.0, "1 of 4 clean encoders scores as high or higher"),
        (1.0, "2 of 4 clean encoders score as high or higher"),
    ],
)
def test_the_p_value_is_told_as_a_count(score, words):
    assert words in dossier_page(dossier(scan=scanned(score=score))).lead


def test_a_mark_is_told_by_how_far_it_moves_features():
    mark = found_trigger("patch", 0.01) | {"family": "mark", "displaced": 15.66}
    page = dossier_page(dossier(scan=scanned() | {"triggers": [mark]}))
    assert "moves features 15.7 standard deviations away from those of images" in page.lead
    assert "takes away" not in page.lead


def test_a_calibration_of_ones_own_is_told_by_its_p_value_alone():
    page = dossier_page(dossier(clean_scores=()))
    assert "p = 0.040" in page.lead
    assert page.sections[1].figures == ()


def test_a_purification_has_all_sections_in_the_order_in_which_they_are_read():
    assert headings("purification") == [
        "Why",
        "The triggers that were found",
        "Old triggers on the new encoder",
        "Compared with clean encoders",
        "What the encoders see",
        "Where the stages look",
        "Where benign knowledge lies",
        "What the copy learned to see past",
        "The training",
        "Nearest neighbours",
        "What is kept of the old encoder",
        "What this shows, and what it does not",
    ]


def test_a_scan_has_no_section_about_what_came_after():
    assert headings("scan") == [
        "The triggers that were found",
        "Compared with clean encoders",
        "What the encoder sees",
        "Where the stages look",
        "Nearest neighbours",
        "What this shows, and what it does not",
    ]


def test_what_was_not_measured_is_absent():
    nothing = {
        "scan": None,
        "verification": None,
        "triggers": (),
        "features": (),
        "attention": None,
        "neighbours": None,
    }
    assert headings("verification", **nothing) == ["What this shows, and what it does not"]


def test_a_finding_on_the_purified_encoder_is_shown():
    new = dossier("verification").triggers
    assert "Triggers that were found on the purified encoder" in headings(
        "verification", new_triggers=new
    )


def test_a_canary_is_told_where_there_is_one():
    html = html_of("verification", verification=verified() | {"canary": canary()})
    assert "A backdoor of our own" in html
    assert "12.3\u00a0% of its strength is left" in html


def test_a_canary_that_did_not_take_says_nothing():
    failed = canary() | {"took": False, "purified": None}
    html = html_of("verification", verification=verified() | {"canary": failed})
    assert "It did not take" in html


def test_keys_that_are_not_known_change_nothing():
    assert html_of("verification", verification=verified() | {"more": {"of": 1}}) == html_of(
        "verification"
    )


@pytest.mark.parametrize(("residue", "tone"), [(0.03, "good"), (0.15, "neutral"), (0.3, "bad")])
def test_the_old_trigger_is_judged_by_the_thresholds(residue, tone):
    page = dossier_page(dossier("verification", verification=verified(residue=residue)))
    assert page.highlights[0].tone == tone
    assert page.highlights[0].value == f"69\u00a0% → {100 * residue:.0f}\u00a0%"


def test_the_old_trigger_that_is_open_widest_is_highlighted():
    numbers = verified()
    numbers["scan_before"]["triggers"][1]["p_value"] = 0.04
    closed, ajar = numbers["old_doors"]
    ajar |= {"opened": 0.3, "residue": 0.25}
    first = dossier_page(dossier("verification", verification=numbers)).highlights[0]
    assert (first.value, first.tone) == ("30\u00a0% → 25\u00a0%", "bad")
    closed["residue"] = ajar["residue"] = -0.02
    first = dossier_page(dossier("verification", verification=numbers)).highlights[0]
    assert (first.value, first.tone) == ("69\u00a0% → \u22122\u00a0%", "good")


def test_an_old_mark_is_told_in_standard_deviations():
    numbers = verified()
    for part in (numbers["scan_before"]["triggers"], numbers["old_doors"]):
        part[:] = [part[0] | {"family": "mark"}]
    page = dossier_page(dossier("verification", verification=numbers))
    first = page.highlights[0]
    assert (first.value, first.tone) == ("6.9\u00a0sd → 0.3\u00a0sd", "good")
    assert "features are moved" in first.note


def test_old_triggers_of_a_clean_scan_are_not_highlighted():
    numbers = verified() | {"scan_before": scanned("clean")}
    page = dossier_page(dossier("verification", verification=numbers))
    assert [highlight.label for highlight in page.highlights] == ["A new backdoor", "The work"]


def test_each_trigger_is_shown_clean_triggered_and_as_a_difference():
    cards = dossier_page(dossier()).sections[0].cards
    assert [card.heading for card in cards] == [
        "A patch over 7\u00a0% of the image",
        "A pattern at a PSNR of 26 dB",
    ]
    captions = [picture.caption for picture in cards[0].pictures]
    assert captions == ["clean", "with it", "change ×2.5"] * 2


def test_neighbours_that_are_the_same_are_told_by_a_number_and_not_by_a_frame_alone():
    gallery = next(
        section.gallery
        for section in dossier_page(dossier()).sections
        if section.heading == "Nearest neighbours"
    )
    with_trigger = gallery.groups[0].rows[1]
    assert with_trigger.note == "3 of 5 kept"
    assert [picture.marked for picture in with_trigger.pictures] == [True, False, True, False, True]


def test_provenance_names_file_hash_seed_and_versions():
    said = dossier_page(dossier("purification")).provenance
    assert said["Encoder before"] == "before.safetensors"
    assert said["SHA-256 after"].startswith("6166746572")
    assert said["Seed"] == "7"
    assert said["Settings"] == "epochs 2, clone_weight 2.0"
    assert "torch 2.13" in said["Versions"]


def test_an_architecture_that_is_a_whole_configuration_is_cut():
    long = replace(dossier().subjects[0], architecture="hf:" + "x" * 5000)
    assert len(dossier_page(dossier(subjects=(long,))).provenance["Network"]) < 300


@pytest.mark.parametrize("kind", ["scan", "verification", "purification"])
def test_nothing_is_fetched_from_anywhere(kind):
    html = html_of(kind)
    for tag, attributes in Elements(html).found:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("data:image/png;base64,", "#")), tag
    assert not re.search(r"url\((?!#)|@import", html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in Elements(html).found}


def test_the_policy_of_the_page_forbids_what_escaping_might_let_through():
    (policy,) = (m["content"] for m in Elements(html_of()).of("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert "script" not in policy


@pytest.mark.parametrize("kind", ["scan", "verification", "purification"])
def test_every_picture_has_words_for_those_who_do_not_see_it(kind):
    elements = Elements(html_of(kind))
    assert len(elements.of("img")) > 20
    assert all(image["alt"] for image in elements.of("img"))
    assert all(drawing["aria-label"] for drawing in elements.of("svg"))


def test_pictures_of_a_gallery_are_told_apart_by_their_words():
    words = [image["alt"] for image in Elements(html_of("purification")).of("img")]
    galleries = [word for word in words if word.startswith(("Attention", "Neighbour"))]
    assert len(set(galleries)) == len(galleries)


def test_ids_are_unique_and_every_reference_leads_somewhere():
    found = Elements(html_of("purification")).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for _, attributes in found:
        for name in ("href", "aria-labelledby"):
            assert name not in attributes or attributes[name].removeprefix("#") in ids


def test_a_page_has_its_landmarks_once():
    html = html_of()
    assert [len(Elements(html).of(tag)) for tag in ("main", "header", "nav", "h1")] == [1, 1, 1, 1]


def test_tables_that_scroll_are_reached_by_keyboard_and_have_a_name():
    regions = [d for d in Elements(html_of()).of("div") if d.get("role") == "region"]
    assert len(regions) == 2
    assert all(region["tabindex"] == "0" and region["aria-labelledby"] for region in regions)


def test_strings_from_files_stay_text():
    evil = replace(dossier().subjects[0], name=EVIL, sha256=EVIL, architecture=EVIL)
    numbers = scanned() | {"calibration": EVIL}
    numbers["triggers"] = [one | {"description": EVIL} for one in numbers["triggers"]]
    made = dossier(
        "verification",
        subjects=(evil, *dossier("verification").subjects[1:]),
        scan=numbers,
        verification=verified() | {"reasons": [EVIL], "scan_before": numbers},
        shown_trigger=EVIL,
        settings={EVIL: EVIL},
        images={"name": EVIL, "given": 1, "looked_at": 1},
        command=EVIL,
        triggers=tuple(
            replace(one, found=found)
            for one, found in zip(dossier().triggers, numbers["triggers"], strict=True)
        ),
        attention=replace(dossier("verification").attention, stages=(EVIL,) * 4),
    )
    elements = Elements(render(dossier_page(made)))
    assert not elements.of("script")
    assert not any("onerror" in attributes for _, attributes in elements.found)


@pytest.mark.parametrize(
    ("deviation", "told"),
    [(4.6, "+4.6\u00a0sd"), (-1.3, "\u22121.3\u00a0sd"), (None, "not measured")],
)
def test_changes_are_told_with_their_share_and_how_they_stand_out(deviation, told):
    change = {"kind": "colour", "share": 0.25, "deviation": deviation, "description": None}
    html = html_of("purification", changes=(change,))
    assert "25.0\u00a0%" in html
    assert told in html


def test_changes_are_shown_on_an_image():
    html = html_of("purification")
    assert 'alt="The image under change 2 of kind wave."' in html
    assert "change 3 of kind" not in html
    assert "of kind wave" not in html_of("purification", changed=None)
