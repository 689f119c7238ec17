"""Rows of a leaderboard: means, intervals, what is kept, and costs."""

import pytest

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.statistics import t_interval
from mimic.report.leaderboard.data import Row
from mimic.report.leaderboard.rows import costs_of, rows_of

from .leaderboard_support import CLEAN, SUSPECT, card, evaluation, failed_card, result


def row(cards: list[ResultCard], scenario: str | None, label: str) -> Row:
    """The only row of a scenario, or of the mean, and a label."""
    (found,) = (r for r in rows_of(cards) if (r.scenario, r.label) == (scenario, label))
    return found


def test_a_row_is_the_mean_over_seeds_with_students_interval():
    rates = (0.50, 0.56, 0.53)
    cards = [card(seed=seed, results=result(rate, 0.1)) for seed, rate in enumerate(rates)]
    found = row(cards, "small-badencoder", "mimic")
    assert found.accuracy == t_interval(rates)
    assert found.seeds == (0, 1, 2)


def test_an_interval_of_a_rate_stays_within_its_range():
    cards = [card(seed=seed, results=result(0.99 + 0.01 * seed, 0.01 * seed)) for seed in (0, 1)]
    found = row(cards, "small-badencoder", "mimic")
    assert (found.accuracy.high, found.attack_success_rate.low) == (1.0, 0.0)


def test_one_seed_has_no_interval():
    found = row([card()], "small-badencoder", "mimic")
    assert (found.accuracy.mean, found.accuracy.low, found.accuracy.high) == (0.59, None, None)


def test_one_scenario_has_no_mean_over_scenarios():
    assert {r.scenario for r in rows_of([card(seed=0), card(seed=1)])} == {"small-badencoder"}


def test_every_scenario_weighs_the_same_however_many_seeds_it_has():
    cards = [
        card(scenario="a", seed=0, results=result(0.2)),
        card(scenario="a", seed=1, results=result(0.4)),
        card(scenario="b", seed=0, results=result(0.9)),
    ]
    assert row(cards, None, "mimic").accuracy.mean == pytest.approx(0.6)


def test_the_interval_over_scenarios_is_over_seeds():
    rates = {("a", 0): 0.50, ("a", 1): 0.52, ("b", 0): 0.7, ("b", 1): 0.7}
    cards = [
        card(scenario=name, seed=seed, results=result(rate)) for (name, seed), rate in rates.items()
    ]
    found, expected = row(cards, None, "mimic").accuracy, t_interval([0.60, 0.61])
    assert (found.mean, found.low, found.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )


def test_scenarios_with_other_seeds_have_no_common_interval():
    cards = [
        card(scenario=name, seed=seed) for name, seed in (("a", 0), ("a", 1), ("b", 0), ("b", 2))
    ]
    found = row(cards, None, "mimic")
    assert (found.accuracy.low, found.accuracy.high, found.seeds) == (None, None, (0, 1, 2))


def test_kept_is_the_distance_to_the_clean_encoder_of_the_same_scenario():
    controls = {"clean": {"gtsrb": {"mlp": evaluation(0.8, 0.0)}}}
    cards = [
        card(scenario="a", results=result(0.6)),
        card(scenario="b", results=result(0.7), controls=controls),
    ]
    assert row(cards, "b", "mimic").kept == pytest.approx(-0.1)
    assert row(cards, None, "mimic").kept == pytest.approx((0.6 - CLEAN[0] - 0.1) / 2)


def test_without_a_clean_encoder_nothing_is_said_about_what_is_kept():
    assert row([card(controls={})], "small-badencoder", "mimic").kept is None


def test_controls_stand_beside_the_defences():
    cards = [card(scenario="a"), card(scenario="b")]
    for scenario in ("a", "b", None):
        found = row(cards, scenario, "suspect")
        assert found.control
        assert (found.accuracy.mean, found.attack_success_rate.mean) == pytest.approx(SUSPECT)


def test_a_control_has_no_seed_and_no_interval():
    found = row([card(scenario="a"), card(scenario="b", seed=1)], None, "clean")
    assert (found.seeds, found.accuracy.low) == ((), None)


def test_a_defence_called_like_a_control_is_still_a_defence():
    found = [r.control for r in rows_of([card("clean")]) if r.label == "clean"]
    assert sorted(found) == [False, True]


def test_a_defence_that_misses_a_scenario_is_not_complete():
    cards = [card(scenario="a"), card(scenario="b"), card("nad", scenario="a")]
    assert row(cards, None, "mimic").complete
    found = row(cards, None, "nad")
    assert (found.complete, found.scenarios) == (False, 1)
    assert row(cards, "a", "nad").complete


def test_a_task_without_a_target_has_no_attack_success():
    assert row([card(results=result(0.7))], "small-badencoder", "mimic").attack_success_rate is None


def test_amounts_of_images_are_kept_apart():
    cards = [
        card(ratio=0.01, results=result(0.4)),
        card(ratio=None, count=500, results=result(0.6)),
    ]
    found = {r.view.amount: r.accuracy.mean for r in rows_of(cards) if r.label == "mimic"}
    assert found == {"1 %": 0.4, "500 images": 0.6}


def test_failed_cells_are_in_no_row_and_no_cost():
    cards = [card(seconds=3.0), failed_card("mimic", seed=1, seconds=1000.0)]
    assert row(cards, "small-badencoder", "mimic").seeds == (0,)
    (cost,) = costs_of(cards)
    assert (cost.cells, cost.seconds) == (1, 3.0)


def test_costs_are_means_by_defence_and_amount():
    cards = [
        card(seed=0, seconds=10.0, images_per_second=100.0, peak_memory_mib=500.0),
        card(seed=1, seconds=20.0, images_per_second=300.0, peak_memory_mib=700.0),
        card(ratio=0.1, seconds=99.0),
        card("clp", seconds=1.0, images_per_second=None),
    ]
    first, second, third = costs_of(cards)
    assert (first.seconds, first.images_per_second, first.peak_memory_mib) == (15.0, 200.0, 600.0)
    assert (second.amount, second.seconds) == ("10 %", 99.0)
    assert (third.label, third.images_per_second, third.peak_gpu_memory_mib) == ("clp", None, None)
