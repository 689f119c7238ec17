"""The plane of two principal components: exact on points that lie in a plane."""

import pytest
import torch

from mimic.errors import InputError
from mimic.evaluation.plane import principal_plane


@pytest.fixture
def flat():
    """40 points of a plane in 6 dimensions, far from 0, and their coordinates in it."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([5.0, 1.0], dtype=torch.float64)
    inside = torch.randn(40, 2, generator=generator, dtype=torch.float64) * scale
    axes = torch.linalg.qr(torch.randn(6, 2, generator=generator, dtype=torch.float64)).Q
    return inside @ axes.T + 7, inside


def test_distances_within_a_plane_are_kept(flat):
    points, inside = flat
    seen = principal_plane(points).coordinates(points)
    found, expected = (torch.pdist(points) for points in (seen, inside))
    assert torch.allclose(found, expected, atol=1e-9)


def test_a_plane_explains_all_that_lies_in_it(flat):
    points, _ = flat
    assert principal_plane(points).explained(points) == pytest.approx(1.0, abs=1e-12)


def test_what_is_explained_is_the_share_of_the_two_largest_variances():
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(1)).double()
    variances = torch.linalg.eigvalsh(torch.cov(features.T)).flip(0)
    expected = float(variances[:2].sum() / variances.sum())
    assert principal_plane(features).explained(features) == pytest.approx(expected, abs=1e-12)


def test_the_first_direction_varies_most(flat):
    points, _ = flat
    first, second = principal_plane(points).coordinates(points).var(dim=0).tolist()
    assert first > second


def test_the_mean_lies_at_zero(flat):
    points, _ = flat
    assert principal_plane(points).coordinates(points).mean(dim=0).abs().max() < 1e-9


def test_the_same_features_in_another_order_give_the_same_picture(flat):
    points, _ = flat
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(2))
    seen, again = (principal_plane(some).coordinates(points) for some in (points, points[order]))
    assert torch.allclose(seen, again, atol=1e-9)


def test_features_that_are_all_the_same_explain_nothing():
    same = torch.ones(4, 3)
    assert principal_plane(same).explained(same) == 0.0


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (3,)])
def test_fewer_than_two_features_or_dimensions_are_refused(shape):
    with pytest.raises(InputError, match="2 features of 2 dimensions"):
        principal_plane(torch.zeros(shape))
