import math

import pytest
import torch
from torch.nn import functional as F

from mimic.detection.clusters import anomaly_index, bend, cluster, natural_clusters
from mimic.errors import InputError


def blobs(count: int, each: int = 8) -> torch.Tensor:
    """Features around `count` axes, of many lengths, blob by blob."""
    generator = torch.Generator().manual_seed(0)
    points = torch.eye(count).repeat_interleave(each, dim=0)
    points = points + 0.05 * torch.randn(points.shape, generator=generator)
    return points * (0.5 + 3 * torch.rand(len(points), 1, generator=generator))


def test_blobs_are_told_apart_whatever_the_lengths_of_features():
    labels = cluster(blobs(4), 4).labels.view(4, 8)
    assert (labels == labels[:, :1]).all()
    assert len(labels[:, 0].unique()) == 4


def test_centres_are_the_means_of_the_members_scaled_to_length_one():
    features = blobs(3)
    found = cluster(features, 3)
    unit = F.normalize(features, dim=1)
    expected = torch.stack([unit[members].mean(dim=0) for members in found.members()])
    torch.testing.assert_close(found.centres, F.normalize(expected, dim=1))


def test_inertia_is_the_squared_distance_from_the_means():
    features = blobs(3)
    found = cluster(features, 3)
    unit = F.normalize(features, dim=1).double()
    parts = [unit[members] for members in found.members()]
    expected = sum((part - part.mean(dim=0)).square().sum() for part in parts)
    assert found.inertia == pytest.approx(float(expected), rel=1e-5)


def test_every_feature_is_a_member_of_one_cluster():
    found = cluster(blobs(3), 5)
    assert sorted(torch.cat(found.members()).tolist()) == list(range(24))


def test_the_same_seed_makes_the_same_clusters():
    features = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    first, again, other = (cluster(features, 6, seed=seed, starts=1) for seed in (2, 2, 3))
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)


def test_a_seed_may_be_large():
    assert len(cluster(blobs(2), 2, seed=2**62)) == 2


@pytest.mark.parametrize("count", [0, 17])
def test_an_impossible_number_of_clusters_is_refused(count):
    with pytest.raises(InputError, match="ask for 1 to 16"):
        cluster(blobs(2), count)


def test_equal_features_do_not_count_twice():
    with pytest.raises(InputError, match="ask for 1 to 1"):
        cluster(torch.ones(20, 3), 2)


def test_the_bend_of_two_straight_lines_is_where_they_meet():
    assert bend([10, 7, 4, 1, 0.9, 0.8, 0.7]) == 3


def test_the_bend_does_not_depend_on_scale_and_offset():
    curve = [1 / (1 + place) for place in range(12)]
    assert bend(curve) == bend([7 + 100 * value for value in curve]) > 0


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0], [1.0, 2.0]])
def test_a_curve_that_does_not_fall_bends_at_its_start(values):
    assert bend(values) == 0


@pytest.mark.parametrize("count", [3, 6])
def test_the_natural_number_of_clusters_is_that_of_the_blobs(count):
    assert len(natural_clusters(blobs(count), most=12)) == count


def test_few_different_features_limit_the_natural_number():
    assert len(natural_clusters(torch.eye(2).repeat(8, 1), most=12)) == 2


def test_a_collapsed_encoder_has_no_clusters():
    with pytest.raises(InputError, match="1 different features"):
        natural_clusters(torch.ones(20, 3))


def test_one_cluster_at_most_is_refused():
    with pytest.raises(InputError, match="2 or more"):
        natural_clusters(blobs(2), most=1)


def test_the_anomaly_index_counts_robust_deviations():
    norms = [1.0, 8, 9, 10, 11, 12]
    # median 9.5, deviations 8.5 1.5 .5 .5 1.5 2.5
    assert anomaly_index(norms, scale=2.0) == pytest.approx(8.5 / (2 * 1.5))


def test_a_normal_distribution_has_deviations_of_one():
    norms = torch.randn(20_001, generator=torch.Generator().manual_seed(0))
    expected = (norms.median() - norms.min()).item()
    assert anomaly_index(norms.tolist()) == pytest.approx(expected, rel=0.03)


def test_equal_norms_are_no_anomaly():
    assert anomaly_index([3.0] * 6) == 0


def test_one_small_norm_among_equal_ones_is_the_plainest_anomaly():
    assert anomaly_index([1.0, 5, 5, 5, 5]) == math.inf


def test_fewer_than_five_norms_say_nothing():
    assert anomaly_index([1.0, 5, 5, 5]) is None
