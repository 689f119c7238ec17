"""Scores are deviations from clean encoders, and p-values their ranks."""

import math
import statistics

import pytest

from mimic.detection.calibration import LEAST, Calibration, score_of, shipped_calibration
from mimic.detection.families import FAMILIES

ONE = Calibration(kind="made up", values={"patch": (1.0, 2.0, 3.0, 6.0)})
TWO = Calibration(kind="made up", values={"patch": (1.0, 2.0, 4.0), "colour": (1.0, 10.0, 100.0)})


def test_a_deviation_is_a_number_of_standard_deviations():
    found = ONE.deviations({"patch": 7.0})["patch"]
    logs = [math.log(value) for value in (1, 2, 3, 6)]
    assert found == pytest.approx((math.log(7) - statistics.fmean(logs)) / statistics.stdev(logs))


def test_each_family_has_its_own_scale():
    found = TWO.deviations({"patch": 4.0, "colour": 1000.0})
    assert found == pytest.approx({"patch": 1.0, "colour": 2.0})


def test_what_is_hardly_a_gain_is_none():
    nothing, least = (TWO.deviations({"patch": 2.0, "colour": x}) for x in (-3.0, LEAST))
    assert nothing == least


def test_the_score_is_the_length_of_what_exceeds_the_mean():
    assert score_of({"a": 3.0, "b": 4.0, "c": -12.0}) == 5
    assert score_of({"a": -1.0}) == 0


def test_each_clean_encoder_is_scored_by_the_others():
    others = [math.log(value) for value in (1, 2, 3)]
    wanted = (math.log(6) - statistics.fmean(others)) / statistics.stdev(others)
    assert ONE.scores()[3] == pytest.approx(wanted)


def test_the_p_value_is_a_rank():
    highest = max(ONE.scores())
    assert ONE.p_value(highest + 1) == pytest.approx(1 / 5)
    assert ONE.p_value(highest) == pytest.approx(2 / 5)
    assert ONE.p_value(0.0) == 1


def test_equal_values_do_not_divide_by_zero():
    same = Calibration(kind="made up", values={"patch": (1.0, 1.0, 1.0)})
    assert same.deviations({"patch": 2.0})["patch"] > 100


def test_the_shipped_one_can_reach_the_false_positive_rate_of_a_scan():
    shipped = shipped_calibration()
    assert 1 / (shipped.count + 1) <= 0.05
    assert set(shipped.values) == set(FAMILIES)
