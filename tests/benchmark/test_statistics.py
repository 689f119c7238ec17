"""Statistics against closed forms, values worked out by hand, and scipy."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from mimic.benchmark.statistics import (
    EXACT_UP_TO,
    RESAMPLES,
    SIGN_DRAWS,
    bootstrap_interval,
    holm,
    independent_units,
    mean_ranks,
    paired_differences,
    ranks,
    sign_flip_p,
    smallest_p,
    t_interval,
)
from mimic.errors import InputError

VALUES = (0.61, 0.55, 0.58, 0.64, 0.57)


def test_a_t_interval_of_three_values_uses_the_quantile_of_the_tables():
    found = t_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert (found.mean, found.count) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)


def test_a_t_interval_is_that_of_scipy():
    found = t_interval(VALUES)
    expected = stats.t.interval(0.95, len(VALUES) - 1, np.mean(VALUES), stats.sem(VALUES))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)


def test_a_t_interval_holds_the_mean_of_a_normal_distribution_95_times_in_100():
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 4))
    intervals = [t_interval(list(row)) for row in draws]
    covered = np.mean([found.low <= 3.0 <= found.high for found in intervals])
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_one_value_has_a_mean_and_no_interval(interval):
    found = interval([0.4])
    assert (found.mean, found.low, found.high, found.count) == (0.4, None, None, 1)


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_equal_values_have_an_interval_of_no_width(interval):
    found = interval([0.25] * 4)
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("function", [t_interval, bootstrap_interval, sign_flip_p])
def test_no_values_are_refused(function):
    with pytest.raises(InputError, match="no values"):
        function([])


def test_the_bootstrap_of_two_values_reaches_from_one_to_the_other():
    # the mean of a resample is 0, 1/2 or 1, each end with a chance of 1/4
    found = bootstrap_interval([0.0, 1.0])
    assert (found.low, found.mean, found.high) == (0.0, 0.5, 1.0)


def test_the_bootstrap_agrees_with_that_of_scipy():
    values = np.random.default_rng(1).normal(0.1, 1.0, size=40)
    found = bootstrap_interval(list(values))
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=RESAMPLES, rng=2
    ).confidence_interval
    noise = 0.05 * values.std()  # of a quantile of 9,999 resamples, three times over
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=noise)


def test_the_bootstrap_of_a_large_sample_is_the_normal_interval():
    values = np.random.default_rng(3).normal(size=400)
    found = bootstrap_interval(list(values))
    half = 1.959964 * values.std() / math.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_the_bootstrap_moves_and_grows_with_the_values():
    before, after = bootstrap_interval(VALUES), bootstrap_interval([3 - 2 * v for v in VALUES])
    assert after.mean == pytest.approx(3 - 2 * before.mean)
    # turned round, each end is the other quantile of the same resamples
    assert (after.low, after.high) == pytest.approx((3 - 2 * before.high, 3 - 2 * before.low))


def test_the_bootstrap_repeats_itself_with_its_seed():
    values = list(np.random.default_rng(4).normal(size=9))
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_differences_are_taken_where_both_were_measured():
    ours = {("a", 0): 0.5, ("a", 1): 0.25, ("b", 0): 1.0}
    theirs = {("a", 1): 1.0, ("a", 0): 0.25, ("c", 0): 0.0}
    assert paired_differences(theirs, ours) == {("a", 1): 0.75, ("a", 0): -0.25}


def test_blocks_count_once_and_the_values_of_an_only_block_themselves():
    assert independent_units([[0.25, 0.75], [1.0]]) == [0.5, 1.0]
    assert independent_units([[0.25, 0.75]]) == [0.25, 0.75]


@pytest.mark.parametrize("pairs", [1, 2, 6, 10, EXACT_UP_TO])
def test_differences_of_one_sign_have_the_smallest_p(pairs):
    differences = np.linspace(0.1, 0.9, pairs)
    assert sign_flip_p(differences) == 2 / 2**pairs == smallest_p(pairs)


def test_differences_that_cancel_are_no_evidence():
    assert sign_flip_p([0.3, -0.3]) == 1.0


def test_differences_of_zero_are_no_evidence():
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0


def test_a_p_value_worked_out_by_hand():
    # |1 + 2 - 3 + 4| = 4: of 16 sums 2 are 10, 2 are 8, 2 are 6, 4 are 4, all either side of zero
    sums = [abs(a + 2 * b + 3 * c + 4 * d) for a, b, c, d in product((-1, 1), repeat=4)]
    assert sign_flip_p([1.0, 2.0, -3.0, 4.0]) == sum(s >= 4 for s in sums) / 16 == 10 / 16


def test_sums_that_only_rounding_tells_apart_are_ties():
    differences = [0.1, 0.2, -0.3, 0.1, 0.2, -0.3]
    assert sign_flip_p(differences) == 1.0
    assert sign_flip_p([10 * d for d in differences]) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_the_exact_test_is_that_of_scipy(seed):
    differences = np.random.default_rng(seed).normal(0.3, 1.0, size=9)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(differences) == pytest.approx(expected, abs=1e-12)


def test_random_patterns_come_near_the_exact_value(monkeypatch):
    differences = np.random.default_rng(5).normal(0.35, 1.0, size=14)
    exact = sign_flip_p(differences)
    monkeypatch.setattr("mimic.benchmark.statistics.EXACT_UP_TO", 0)
    noise = math.sqrt(exact * (1 - exact) / SIGN_DRAWS)
    assert sign_flip_p(differences) == pytest.approx(exact, abs=4 * noise)
    assert sign_flip_p(differences) != exact


def test_random_patterns_never_give_zero():
    assert sign_flip_p([1.0] * 30) == 1 / (1 + SIGN_DRAWS) == smallest_p(30)


def test_p_values_are_uniform_where_nothing_differs():
    draws = np.random.default_rng(6).normal(size=(2000, 8))
    rejected = np.mean([sign_flip_p(row) <= 0.05 for row in draws])
    level = 12 / 256  # the largest p-value of eight pairs that is at most 5 %
    assert rejected == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / 2000))


@pytest.mark.parametrize("scale", [-1.0, 1e-6, 250.0])
def test_p_does_not_depend_on_the_unit_or_the_direction(scale):
    differences = [0.3, -0.1, 0.2, 0.4, 0.05]
    assert sign_flip_p([scale * d for d in differences]) == sign_flip_p(differences)


def test_holm_worked_out_by_hand():
    # sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, and the last must not fall below .06
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]


def test_holm_leaves_a_single_test_alone():
    assert holm({"a": 0.04}) == {"a": 0.04}


def test_holm_of_nothing_is_nothing():
    assert holm({}) == {}


def test_holm_stays_at_one():
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_holm_rejects_between_bonferroni_and_no_correction():
    p_values = dict(enumerate(np.random.default_rng(7).uniform(0, 0.2, size=12)))
    found = holm(p_values)
    assert all(p <= found[key] <= min(1.0, 12 * p) for key, p in p_values.items())


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_ranks_are_those_of_scipy(higher_is_better):
    values = dict(enumerate([0.3, 0.9, 0.3, 0.5, 0.1, 0.3]))
    signed = [-v if higher_is_better else v for v in values.values()]
    found = ranks(values, higher_is_better=higher_is_better)
    assert list(found.values()) == list(stats.rankdata(signed))


def test_mean_ranks_worked_out_by_hand():
    blocks = [{"a": 0.9, "b": 0.8, "c": 0.7}, {"c": 0.5, "b": 0.5, "a": 0.1}]
    found = mean_ranks(blocks, higher_is_better=True)
    assert found == {"a": 2.0, "b": 1.75, "c": 2.25}


def test_what_misses_a_block_is_left_out_before_the_others_are_ranked():
    blocks = [{"a": 0.9, "x": 1.0, "b": 0.8}, {"a": 0.1, "b": 0.2}]
    assert mean_ranks(blocks, higher_is_better=True) == {"a": 1.5, "b": 1.5}


def test_mean_ranks_of_no_block_are_none():
    assert mean_ranks([], higher_is_better=True) == {}


def test_mean_ranks_add_up_however_the_blocks_are_filled():
    rng = np.random.default_rng(8)
    blocks = [dict(enumerate(rng.integers(0, 3, size=7) / 10)) for _ in range(5)]
    found = mean_ranks(blocks, higher_is_better=False)
    assert sum(found.values()) == pytest.approx(7 * 8 / 2)
