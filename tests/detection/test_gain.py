"""Gains against values worked out by hand."""

import math

import pytest
import torch

from mimic.detection.gain import over_strong, over_usual

NATURAL = 1 - torch.exp(-torch.linspace(0.0, 1.0, 101))
"""What is left is 0 to 1 nats: the median is 0.5, the 95 % quantile 0.95."""


def test_a_gain_is_told_in_nats_over_the_median():
    assert over_usual(1 - math.exp(-2.0), NATURAL) == pytest.approx(1.5, abs=1e-5)


def test_each_halving_of_what_is_left_counts_alike():
    half, quarter = (over_usual(1 - share, NATURAL) for share in (0.5, 0.25))
    assert quarter - half == pytest.approx(math.log(2), abs=1e-5)


def test_a_strong_random_one_has_a_gain_of_one():
    assert over_strong(1 - math.exp(-0.95), NATURAL) == pytest.approx(1.0, abs=1e-5)


def test_the_gain_does_not_change_where_everything_forgets_twice_as_much():
    best = 1 - math.exp(-2.0)
    doubled = over_strong(1 - math.exp(-4.0), 1 - (1 - NATURAL) ** 2)
    assert doubled == pytest.approx(over_strong(best, NATURAL), abs=1e-4)


def test_random_ones_that_are_all_alike_have_some_spread():
    alike = torch.full((8,), 1 - math.exp(-0.5))
    assert over_strong(1 - math.exp(-0.6), alike) == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize("gain", [over_usual, over_strong])
def test_nothing_left_is_a_finite_gain(gain):
    assert math.isfinite(gain(1.0, NATURAL))
