"""Scores are deviations from clean encoders, and p-values tell how unusual they are."""

import math
import random
import statistics

import pytest

from mimic.detection.calibration import (
    LEAST,
    LEAST_SPREAD,
    Calibration,
    score_of,
    shipped_calibration,
)
from mimic.detection.families import FAMILIES
from mimic.errors import InputError

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


def test_the_score_is_the_largest_deviation_above_the_mean():
    assert score_of({"a": 3.0, "b": 4.0, "c": -12.0}) == 4
    assert score_of({"a": -1.0}) == 0


def test_each_clean_encoder_is_scored_by_the_others():
    others = [math.log(value) for value in (1, 2, 3)]
    wanted = (math.log(6) - statistics.fmean(others)) / statistics.stdev(others)
    assert ONE.scores()[3] == pytest.approx(wanted)


def test_the_tail_is_that_of_a_prediction_interval():
    # Of one more value after four: the 95 % bound is the mean and 2.353 * sqrt(1 + 1/4) deviations.
    assert ONE.tail(2.353363 * math.sqrt(1.25)) == pytest.approx(0.05, abs=1e-6)
    assert ONE.tail(0.0) == 0.5


def test_p_values_are_those_of_the_tail_times_the_number_of_families():
    assert TWO.p_value(5.0) == pytest.approx(2 * TWO.tail(5.0))
    assert TWO.p_value(0.0) == 1


def test_of_clean_encoders_one_in_twenty_falls_below_a_p_value_of_one_in_twenty():
    draw = random.Random(0)
    low = 0
    for _ in range(2000):
        values = [math.exp(draw.gauss(0, 0.4)) for _ in range(9)]
        known = Calibration(kind="drawn", values={"patch": tuple(values[:8])})
        low += known.p_value(score_of(known.deviations({"patch": values[8]}))) <= 0.05
    assert low / 2000 == pytest.approx(0.05, abs=0.015)


def test_two_encoders_are_too_few():
    with pytest.raises(InputError, match=r"2 clean encoders do not tell .* 3 or more"):
        Calibration(kind="made up", values={"patch": (1.0, 2.0)})


def test_encoders_cannot_differ_by_less_than_a_search_does():
    same = Calibration(kind="made up", values={"patch": (1.0, 1.0, 1.0)})
    assert same.deviations({"patch": 2.0})["patch"] == pytest.approx(math.log(2) / LEAST_SPREAD)


def test_the_shipped_one_can_reach_the_false_positive_rate_of_a_scan():
    shipped = shipped_calibration()
    assert shipped.p_value(6.0) <= 0.05
    assert len(set(map(len, shipped.values.values()))) == 1
    assert set(shipped.values) == set(FAMILIES)
