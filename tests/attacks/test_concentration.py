import pytest
import torch
from torch.nn import functional as F

from mimic.attacks.concentration import concentration
from mimic.errors import InputError
from mimic.evaluation.similarity import mean_cosine


@pytest.fixture
def features():
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(0))


def test_it_is_the_mean_over_all_pairs_of_different_features(features):
    rows = F.normalize(features.double(), dim=1)
    pairs = (rows @ rows.T)[~torch.eye(7, dtype=torch.bool)]
    assert concentration(features) == pytest.approx(pairs.mean().item(), abs=1e-12)


def test_features_of_one_direction_are_fully_concentrated(features):
    lengths = torch.arange(1, 8)[:, None]
    assert concentration(lengths * features[:1]) == pytest.approx(1, abs=1e-12)


def test_the_corners_of_a_simplex_are_as_spread_as_can_be():
    corners = torch.eye(4, dtype=torch.float64) - 0.25
    assert concentration(corners) == pytest.approx(-1 / 3, abs=1e-12)


def test_the_differentiable_form_agrees_in_single_precision(features):
    assert mean_cosine(features).item() == pytest.approx(concentration(features), abs=1e-6)


def test_gradients_are_those_of_the_pairs(features):
    (found,) = torch.autograd.grad(mean_cosine(leaf := features.clone().requires_grad_()), leaf)
    rows = F.normalize(other := features.clone().requires_grad_(), dim=1)
    (expected,) = torch.autograd.grad((rows @ rows.T).sum() / 42, other)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5), (0, 5), (5,)], ids=str)
def test_fewer_than_two_features_are_refused(shape):
    with pytest.raises(InputError, match="two or more features"):
        concentration(torch.zeros(shape))
