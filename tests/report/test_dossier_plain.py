"""report.json: the facts of the page, without pictures, in numbers that JSON can say."""

import json
import math

import pytest

from mimic.report.dossier.facts import finite
from mimic.report.dossier.page import dossier_page
from mimic.report.dossier.plain import dossier_json

from .dossier_support import dossier, scanned


def test_numbers_that_json_cannot_say_become_null():
    value = {"a": (1.5, math.nan), "b": {"c": math.inf}, "d": "text", "e": True}
    assert finite(value) == {"a": [1.5, None], "b": {"c": None}, "d": "text", "e": True}


@pytest.mark.parametrize("kind", ["scan", "verification", "purification"])
def test_the_facts_survive_a_round_trip_through_json(kind):
    facts = dossier_json(dossier(kind))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_a_number_that_is_not_finite_does_not_stop_the_report():
    facts = dossier_json(dossier(scan=scanned(score=math.inf)))
    assert facts["scan"]["score"] is None


def test_pictures_are_left_out():
    assert "data:image" not in json.dumps(dossier_json(dossier("purification")))


def test_the_summary_is_the_verdict_of_the_page():
    made = dossier("verification")
    assert dossier_json(made)["summary"] == dossier_page(made).verdict


def test_a_scan_of_a_verification_is_told_once():
    facts = dossier_json(dossier("verification"))
    assert facts["scan"] is None
    assert facts["verification"]["scan_before"]["score"] == 31.7


def test_neighbours_are_told_by_position():
    row = dossier_json(dossier())["neighbours"]["queries"][0]["rows"][1]
    assert row == {
        "role": "before",
        "triggered": True,
        "positions": [5, 6, 7, 8, 9],
        "same": [True, False, True, False, True],
    }


def test_every_point_of_the_feature_map_is_told():
    assert dossier_json(dossier())["features"][0]["triggered"] == [[0.7, 0.7], [0.7, 0.71]]
