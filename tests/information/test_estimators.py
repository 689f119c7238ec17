import math

import pytest
import torch
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.information.estimators import (
    ESTIMATORS,
    donsker_varadhan,
    get_estimator,
    infonce,
    jensen_shannon_loss,
    moving_average_loss,
    nguyen_wainwright_jordan,
)


def random_scores(size=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(size, size, generator=generator, dtype=torch.float64)


def by_definition(name, scores):
    """The estimators written out with loops and plain exponentials."""
    size = len(scores)
    rows = scores.tolist()
    joint = sum(rows[i][i] for i in range(size)) / size
    product = [rows[i][j] for i in range(size) for j in range(size) if i != j]
    if name == "nwj":
        return joint - sum(math.exp(score - 1) for score in product) / len(product)
    if name == "infonce":
        losses = [rows[i][i] - math.log(sum(math.exp(s) for s in rows[i])) for i in range(size)]
        return math.log(size) + sum(losses) / size
    if name == "club":
        return joint - sum(sum(row) for row in rows) / size**2
    if name == "smile":
        product = [min(max(score, -5.0), 5.0) for score in product]
    return joint - math.log(sum(math.exp(score) for score in product) / len(product))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_value_agrees_with_its_definition(name):
    scores = random_scores()
    assert ESTIMATORS[name].value(scores).item() == pytest.approx(by_definition(name, scores))


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_value_is_finite_at_huge_scores(name, size):
    scores = size * torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    assert ESTIMATORS[name].value(scores).isfinite()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_value_is_finite_when_all_scores_are_huge(name):
    assert ESTIMATORS[name].value(torch.full((6, 6), 1e4)).isfinite()


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"nwj"}))
def test_a_constant_critic_finds_nothing(name):
    assert ESTIMATORS[name].value(torch.full((6, 6), 2.5)).item() == pytest.approx(0, abs=1e-6)


def test_nwj_finds_nothing_with_the_critic_one():
    scores = torch.ones(6, 6)
    assert nguyen_wainwright_jordan(scores).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scale", [0.1, 10.0, 1000.0])
def test_infonce_is_never_above_the_log_of_the_number_of_candidates(scale):
    scores = scale * torch.eye(50, dtype=torch.float64)
    assert infonce(scores).item() <= math.log(50) + 1e-6


def test_adding_a_constant_to_the_scores_leaves_donsker_varadhan_unchanged():
    scores = random_scores()
    shifted = donsker_varadhan(scores + 123.0)
    assert shifted.item() == pytest.approx(donsker_varadhan(scores).item())


def test_the_jensen_shannon_loss_agrees_with_its_definition():
    scores = random_scores()
    labels = torch.eye(len(scores), dtype=torch.float64)
    losses = F.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    expected = losses[labels == 1].mean() + losses[labels == 0].mean()
    assert jensen_shannon_loss(scores).item() == pytest.approx(expected.item())


def gradient(loss, scores):
    scores = scores.clone().requires_grad_(True)
    return torch.autograd.grad(loss(scores), scores)[0]


def test_a_moving_average_without_memory_has_the_naive_gradient():
    state = torch.tensor(2.0, dtype=torch.float64)
    corrected = gradient(lambda s: moving_average_loss(s, state, decay=0.0)[0], random_scores())
    naive = gradient(lambda s: -donsker_varadhan(s), random_scores())
    torch.testing.assert_close(corrected, naive)


def test_the_first_batch_starts_the_moving_average():
    _, state = moving_average_loss(random_scores(), torch.tensor(math.nan))
    scores = random_scores()
    product = scores[~torch.eye(len(scores), dtype=torch.bool)]
    assert state.item() == pytest.approx(product.exp().mean().log().item())


def test_the_moving_average_mixes_in_the_linear_domain():
    scores = random_scores(seed=1)
    old = torch.tensor(0.7, dtype=torch.float64)
    _, state = moving_average_loss(scores, old, decay=0.9)
    product = scores[~torch.eye(len(scores), dtype=torch.bool)]
    expected = 0.9 * old.exp() + 0.1 * product.exp().mean()
    assert state.exp().item() == pytest.approx(expected.item())


def test_an_unknown_estimator_is_named_together_with_the_known_ones():
    with pytest.raises(InputError, match="'ksg' is unknown; there are dv, mine"):
        get_estimator("ksg")
