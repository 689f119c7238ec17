import math
from functools import cache

import pytest
import torch

from mimic.errors import InputError
from mimic.information.estimate import estimate, held_out_value
from mimic.information.estimators import ESTIMATORS
from mimic.information.fitting import Fitting, Pairs
from mimic.information.samplers import (
    correlated_gaussian,
    half_cube,
    permuted,
    student_t,
    uniform_noise,
)
from mimic.training import Trainer

CPU = Trainer(device="cpu")
SHORT = Fitting(steps=200)
TINY = Fitting(steps=20)

CASES = {
    "independent": correlated_gaussian(0.0, dimensions=2, samples=2400, seed=1),
    "gaussian": correlated_gaussian(0.7, samples=3000, seed=1),
    "gaussian-5": correlated_gaussian(0.5, dimensions=5, samples=3000, seed=1),
    "uniform": uniform_noise(0.25, samples=3000, seed=1),
    "student": student_t(degrees=2, x_dimensions=2, y_dimensions=2, samples=3000, seed=1),
}
LOWER = sorted(name for name, row in ESTIMATORS.items() if row.bound == "lower")
NOT_UPPER = sorted(name for name, row in ESTIMATORS.items() if row.bound != "upper")


@cache
def estimated(case, estimator):
    sample = CASES[case]
    return estimate(sample.x, sample.y, estimator=estimator, folds=2, fitting=SHORT, trainer=CPU)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nothing_is_found_between_independent_variables(estimator):
    assert estimated("independent", estimator).nats == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("estimator", NOT_UPPER)
def test_recovers_the_information_of_a_correlated_pair(estimator):
    exact = CASES["gaussian"].nats
    assert estimated("gaussian", estimator).nats == pytest.approx(exact, abs=0.1)


@pytest.mark.parametrize("estimator", NOT_UPPER)
def test_recovers_the_information_of_five_correlated_pairs(estimator):
    exact = CASES["gaussian-5"].nats
    assert estimated("gaussian-5", estimator).nats == pytest.approx(exact, abs=0.15)


@pytest.mark.parametrize("estimator", LOWER)
def test_a_lower_bound_stays_below_the_truth_within_its_error(estimator):
    found = estimated("gaussian-5", estimator)
    assert found.nats <= CASES["gaussian-5"].nats + 2 * found.standard_error + 0.02


@pytest.mark.parametrize("case", ["gaussian", "gaussian-5"])
def test_the_upper_bound_stays_above_the_truth(case):
    assert estimated(case, "club").nats >= CASES[case].nats


def test_club_finds_its_own_closed_form_for_a_gaussian():
    assert estimated("gaussian", "club").nats == pytest.approx(0.49 / 0.51, abs=0.15)


def test_infonce_recovers_the_information_in_heavy_tails():
    exact = CASES["student"].nats
    assert estimated("student", "infonce").nats == pytest.approx(exact, abs=0.1)


def test_infonce_finds_three_quarters_of_the_information_behind_sharp_edges():
    # a smooth critic sees uniform noise as Gaussian noise of the same variance: 0.767 of 0.943 nats
    exact = CASES["uniform"].nats
    assert 0.75 * exact <= estimated("uniform", "infonce").nats <= exact + 0.05


def test_a_strictly_increasing_map_of_the_coordinates_changes_nothing():
    sample = correlated_gaussian(0.75, samples=300)
    bent = half_cube(sample)
    plain = estimate(sample.x, sample.y, fitting=TINY, trainer=CPU)
    assert estimate(bent.x, bent.y, fitting=TINY, trainer=CPU) == plain


def test_nothing_is_left_when_partners_are_permuted():
    sample = permuted(CASES["gaussian"])
    found = estimate(sample.x, sample.y, folds=2, fitting=SHORT, trainer=CPU)
    assert found.nats == pytest.approx(0, abs=0.05)


def test_infonce_stays_below_the_log_of_the_size_of_a_fold():
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    found = estimate(x, x, fitting=Fitting(steps=100), trainer=CPU)
    assert max(found.folds) <= math.log(20) + 1e-6


def test_normal_scores_are_those_among_the_folds_that_a_critic_learns_from(monkeypatch):
    asked: list[tuple[set[float], set[float]]] = []
    scores = Pairs.normal_scores

    def watched(self, reference):
        asked.append((set(self.x.flatten().tolist()), set(reference.x.flatten().tolist())))
        return scores(self, reference)

    monkeypatch.setattr(Pairs, "normal_scores", watched)
    x = torch.arange(24.0)
    estimate(x, x, folds=2, fitting=TINY, trainer=CPU)
    whole = set(x.tolist())
    for (training, own), (held_out, reference) in zip(asked[::2], asked[1::2], strict=True):
        assert training == own == reference == whole - held_out
    assert asked[0][0].isdisjoint(asked[2][0])


def test_the_error_is_the_standard_error_of_the_folds():
    found = estimated("gaussian", "infonce")
    first, second = found.folds
    assert found.standard_error == pytest.approx(abs(first - second) / 2)


def test_the_same_seed_gives_the_same_estimate():
    sample = correlated_gaussian(0.7, samples=200)
    runs = [estimate(sample.x, sample.y, seed=3, fitting=TINY, trainer=CPU) for _ in range(2)]
    assert runs[0] == runs[1]


def test_another_seed_gives_another_estimate():
    sample = correlated_gaussian(0.7, samples=200)
    runs = [estimate(sample.x, sample.y, seed=s, fitting=TINY, trainer=CPU) for s in (3, 4)]
    assert runs[0] != runs[1]


def test_a_coordinate_that_never_varies_does_no_harm():
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 3.0
    assert math.isfinite(estimate(x, x, fitting=TINY, trainer=CPU).nats)


def test_random_numbers_of_the_caller_are_left_alone():
    before = torch.get_rng_state()
    estimate(torch.ones(20, 1), torch.ones(20, 1), fitting=TINY, trainer=CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_of_a_large_fold_are_averaged(monkeypatch):
    class Product(torch.nn.Linear):
        def forward(self, x, y):
            return x @ y.T

    pairs = Pairs(torch.randn(10, 2), torch.randn(10, 2))
    row = ESTIMATORS["dv"]
    expected = [row.value(pairs.x[part] @ pairs.y[part].T) for part in (slice(5), slice(5, 10))]
    monkeypatch.setattr("mimic.information.estimate.LARGEST_SCORE_MATRIX", 5)
    found = held_out_value(row, Product(2, 2), pairs)
    assert found == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "settings", "message"),
    [
        (torch.zeros(30, 2), torch.zeros(29, 2), {}, "as many samples in both"),
        (torch.zeros(30, 2, 2), torch.zeros(30, 2), {}, "shape"),
        (torch.zeros(11), torch.zeros(11), {}, "at least 12 samples, not 11"),
        (torch.zeros(30), torch.zeros(30), {"folds": 1}, "2 folds or more, not 1"),
        (torch.full((30,), math.nan), torch.zeros(30), {}, "finite"),
        (torch.zeros(30), torch.zeros(30), {"estimator": "ksg"}, "'ksg' is unknown"),
    ],
)
def test_what_cannot_be_estimated_is_refused(x, y, settings, message):
    with pytest.raises(InputError, match=message):
        estimate(x, y, trainer=CPU, **settings)
