"""Charts of the evidence: one element each, that says in words what it shows."""

from xml.etree import ElementTree as ET

import pytest

from mimic.report.dossier.charts import DoorBar, KeptBar, door_chart, kept_chart, score_chart

DOORS = [
    DoorBar(name="patch", before=0.687, after=-0.058),
    DoorBar(name="a $filter <b>", before=0.1, after=0.25),
]
KEPT = [KeptBar(name="CKA", value=0.82, low=0.79, high=0.85, yardstick=0.38)]


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter() if "text" in node.tag]


def label(svg: str) -> str:
    return ET.fromstring(svg).attrib["aria-label"]


def test_a_single_score_is_that_of_this_encoder():
    svg = score_chart([0.0, 1.5], {"before": 12.5}, name="s")
    assert label(svg) == "Scores of scans: this encoder 12.5; 2 clean encoders from 0.0 to 1.5."
    assert {"this encoder", "clean encoders", "12.5"} <= set(texts(svg))


def test_two_scores_are_told_apart_by_their_roles():
    svg = score_chart([0.0, 1.5], {"before": 12.5, "after": 0.2}, name="s")
    assert {"before", "after"} <= set(texts(svg))


@pytest.mark.parametrize("score", [0.0, 2.0, 5000.0])
def test_any_score_has_a_place_on_the_axis(score):
    assert f"{score:.1f}" in texts(score_chart([0.0], {"before": score}, name="s"))


def test_doors_are_told_before_and_after_with_the_thresholds():
    svg = door_chart(DOORS, closed=0.1, opened=0.2, name="d")
    assert "patch 68.7\u00a0% to -5.8\u00a0%" in label(svg)
    assert {"patch", "a $filter <b>", "before", "after"} <= set(texts(svg))
    assert {text.strip() for text in texts(svg)} >= {"closed", "open"}


def test_what_is_kept_is_told_with_interval_and_yardstick():
    svg = kept_chart(KEPT, name="k")
    assert "CKA 0.82, 0.79 to 0.85, yardstick 0.38" in label(svg)
    assert {"CKA", "kept", "yardstick"} <= set(texts(svg))


def test_the_same_values_give_the_same_figure():
    first, second = (door_chart(DOORS, closed=0.1, opened=0.2, name="d") for _ in range(2))
    assert first == second
