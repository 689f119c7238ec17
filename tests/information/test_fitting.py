import math

import pytest
import torch

from mimic.information.critics import SeparableCritic
from mimic.information.estimators import ESTIMATORS
from mimic.information.fitting import CriticObjective, Fitting, Pairs, fit_critic
from mimic.training import Trainer


@pytest.fixture
def pairs():
    values = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    return Pairs(values, values)


def test_normal_scores_of_the_reference_itself_are_standard_normal():
    values = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)).exp()
    scores = Pairs(values, values).normal_scores(Pairs(values, values)).x
    assert scores.mean().item() == pytest.approx(0, abs=1e-3)
    assert scores.std().item() == pytest.approx(1, abs=5e-3)


def test_normal_scores_keep_the_order_of_the_samples(pairs):
    scores = pairs.normal_scores(pairs)
    assert torch.equal(scores.x.argsort(dim=0), pairs.x.argsort(dim=0))


def test_samples_beyond_the_reference_have_finite_scores(pairs):
    extreme = Pairs(torch.full((1, 2), 1e30), torch.full((1, 2), -1e30))
    scores = extreme.normal_scores(pairs)
    assert scores.x.isfinite().all()
    assert scores.y.isfinite().all()


def test_equal_values_share_the_middle_of_their_ranks():
    constant = Pairs(torch.full((5, 1), 3.0), torch.zeros(5, 1))
    assert torch.equal(constant.normal_scores(constant).x, torch.zeros(5, 1))


def test_at_least_the_steps_asked_for_are_taken():
    plan = Fitting(steps=25, batch_size=32).plan(100, seed=0)
    assert 25 <= plan.epochs * plan.batches_per_epoch(100) < 25 + 3


def test_the_critic_that_is_kept_did_no_worse_than_the_untrained_one(pairs):
    objective = CriticObjective(ESTIMATORS["dv"], SeparableCritic(2, 2), pairs, check_every=1)
    before = objective.learner.best_loss.item()
    Trainer(device="cpu").fit(objective, pairs, Fitting(steps=20).plan(80, seed=0))
    assert objective.learner.best_loss.item() <= before
    with torch.no_grad():
        scores = objective.learner.best(pairs.x, pairs.y).double()
    kept = ESTIMATORS["dv"].loss(scores).item()
    assert kept == pytest.approx(objective.learner.best_loss.item(), rel=1e-5)


def test_the_moving_average_is_carried_from_step_to_step(pairs):
    objective = CriticObjective(ESTIMATORS["mine"], SeparableCritic(2, 2), pairs, check_every=99)
    assert math.isnan(objective.learner.state.item())
    objective((pairs.x, pairs.y))
    assert math.isfinite(objective.learner.state.item())


def test_a_finished_critic_is_not_trained_again(pairs, tmp_path):
    def fit(resume):
        trainer = Trainer(device="cpu", folder=tmp_path, resume=resume)
        settings = {"fitting": Fitting(steps=20), "seed": 0, "name": "critic"}
        return fit_critic(ESTIMATORS["mine"], pairs, trainer=trainer, **settings)

    first, again = fit(False), fit(True)
    with torch.no_grad():
        assert torch.equal(first(pairs.x, pairs.y), again(pairs.x, pairs.y))
