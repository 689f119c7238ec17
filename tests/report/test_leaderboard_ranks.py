"""Ranks over scenarios, and paired tests against the reference."""

import math
from itertools import product

import numpy as np
import pytest

from mimic.report.leaderboard.data import Comparison
from mimic.report.leaderboard.ranks import comparisons_of, ranks_of, reference_of
from mimic.report.leaderboard.rows import rows_of

from .leaderboard_support import SCENARIOS, benchmark, card, evaluation, result


def ranked(cards, scenario):
    """Label -> (overall, accuracy, attack success)."""
    return {
        rank.label: (rank.overall, rank.accuracy, rank.attack_success_rate)
        for rank in ranks_of(rows_of(cards))
        if rank.scenario == scenario
    }


def test_high_accuracy_and_low_attack_success_rank_first():
    cards = [
        card("mimic", results=result(0.6, 0.1)),
        card("nad", results=result(0.5, 0.3)),
        card("clp", results=result(0.7, 0.2)),
    ]
    assert ranked(cards, "small-badencoder") == {
        "mimic": (1.5, 2.0, 1.0),
        "nad": (3.0, 3.0, 3.0),
        "clp": (1.5, 1.0, 2.0),
    }


def test_ranks_are_averaged_over_scenarios():
    rates = {("a", "mimic"): 0.6, ("a", "nad"): 0.5, ("b", "mimic"): 0.5, ("b", "nad"): 0.6}
    cards = [card(n, scenario=s, results=result(r, 0.1)) for (s, n), r in rates.items()]
    assert ranked(cards, None) == {"mimic": (1.5, 1.5, 1.5), "nad": (1.5, 1.5, 1.5)}
    assert ranked(cards, "a")["mimic"] == (1.25, 1.0, 1.5)


def test_what_misses_a_scenario_is_ranked_only_where_it_is():
    cards = [card(scenario="a"), card(scenario="b"), card("nad", scenario="a")]
    assert set(ranked(cards, None)) == {"mimic"}
    assert set(ranked(cards, "a")) == {"mimic", "nad"}


def test_without_attack_success_the_rank_is_that_by_accuracy():
    cards = [card("mimic", results=result(0.6)), card("nad", results=result(0.5))]
    assert ranked(cards, "small-badencoder")["nad"] == (2.0, 2.0, None)


def test_controls_are_not_ranked():
    assert set(ranked([card()], "small-badencoder")) == {"mimic"}


@pytest.mark.parametrize(
    ("labels", "reference"),
    [
        ({"mimic": "mimic", "other": "mimic"}, "mimic"),
        ({"ours": "mimic", "nad": "nad"}, "ours"),
        ({"short": "mimic", "long": "mimic"}, None),
        ({"nad": "nad"}, None),
        ({"mimic": "nad"}, None),
    ],
)
def test_the_reference_is_mimic_by_whatever_label(labels, reference):
    cards = [card(label, defense=defense) for label, defense in labels.items()]
    assert reference_of(cards) == reference


def compared(cards, measure="accuracy") -> dict[str, Comparison]:
    return {c.label: c for c in comparisons_of(cards, "mimic") if c.measure == measure}


def test_a_comparison_takes_the_same_scenario_and_seed():
    cards = [
        card("mimic", seed=0, results=result(0.5, 0.1)),
        card("mimic", seed=1, results=result(0.9, 0.1)),
        card("nad", seed=1, results=result(0.8, 0.3)),
        card("nad", seed=2, results=result(0.1, 0.3)),
    ]
    found = compared(cards)["nad"]
    assert (found.difference.mean, found.difference.count) == (pytest.approx(-0.1), 1)
    assert found.p_value == 1.0
    assert compared(cards, "attack_success_rate")["nad"].difference.mean == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("scenarios", "units"), [(SCENARIOS, "3 scenarios"), (["small-ctrl"], "3 seeds")]
)
def test_a_defence_that_always_differs_has_the_smallest_p_of_its_scenarios_or_seeds(
    scenarios, units
):
    found = compared(benchmark(scenarios=scenarios))["scratch"]
    assert found.units == units
    assert found.p_value == 2 / 2**3
    assert found.difference.high < 0


def test_a_scenario_counts_once_however_many_seeds_it_has():
    rates = {("a", 0): 0.7, ("a", 1): 0.5, ("b", 0): 0.3}
    cards = [card("mimic", scenario=s, seed=n, results=result(0.6)) for s, n in rates]
    cards += [card("nad", scenario=s, seed=n, results=result(r)) for (s, n), r in rates.items()]
    found = compared(cards)["nad"].difference
    assert (found.low, found.mean, found.high) == pytest.approx((-0.3, -0.15, 0.0))


def test_equal_defences_differ_no_more_often_than_the_test_promises():
    """Each task is a benchmark of its own, in which a scenario matters more than a seed."""
    tasks = 300
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 1, tasks)) + 0.5 * rng.normal(size=(8, 3, tasks))
    cards = []
    for scenario, seed in product(range(8), range(3)):
        for label, shift in (("mimic", 0.0), ("nad", 0.02)):
            rates = 0.5 + shift * noise[scenario, seed]
            results = {f"{n}": {"mlp": evaluation(rate)} for n, rate in enumerate(rates)}
            cards.append(card(label, scenario=f"{scenario}", seed=seed, results=results))
    p_values = [one.p_value for one in comparisons_of(cards, "mimic")]
    level = 12 / 256  # the largest p-value of eight scenarios that is at most 5 %
    noise_of_level = math.sqrt(level * (1 - level) / tasks)
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(level, abs=3 * noise_of_level)


def test_p_values_are_corrected_for_all_defences_of_a_view_and_measure():
    found = compared(benchmark(tasks=("gtsrb",)))
    assert len(found) == 4
    assert min(c.p_holm for c in found.values()) == 4 * min(c.p_value for c in found.values())


@pytest.mark.parametrize(("measure", "better"), [("accuracy", 1), ("attack_success_rate", 2)])
def test_better_in_counts_scenarios_in_the_direction_of_the_measure(measure, better):
    rates = {"a": (0.7, 0.1), "b": (0.5, 0.1), "c": (0.5, 0.9)}
    cards = [card("mimic", scenario=name, results=result(0.6, 0.5)) for name in rates]
    cards += [card("nad", scenario=name, results=result(*both)) for name, both in rates.items()]
    found = compared(cards, measure)["nad"]
    assert (found.better_in, found.scenarios) == (better, 3)


def test_views_are_compared_apart():
    both = {
        "gtsrb": {"mlp": evaluation(0.6, 0.1), "knn": evaluation(0.5, 0.1, probe="knn")},
        "cifar10": {"mlp": evaluation(0.7)},
    }
    cards = [card(label, ratio=r, results=both) for label in ("mimic", "nad") for r in (0.01, 0.1)]
    found = comparisons_of(cards, "mimic")
    assert len({(c.view, c.measure) for c in found}) == len(found) == 2 * (2 * 2 + 1)


def test_without_a_reference_nothing_is_compared():
    assert comparisons_of([card("nad")], None) == ()
