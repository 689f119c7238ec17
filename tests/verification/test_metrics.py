"""The numbers against definitions written out, closed forms and averages over all pairings."""

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.verification import metrics
from mimic.verification.metrics import effective_rank, linear_cka, mutual_neighbours


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def all_pairings(compare, left, right):
    values = [compare(left, right[list(order)]) for order in permutations(range(len(right)))]
    return sum(values) / len(values)


def hsic(left, right):
    """HSIC_1 as it is written: kernel matrices without their diagonals, uncentred."""
    n = len(left)
    k, q = (side @ side.T * (1 - torch.eye(n)) for side in (left, right))
    sums = k.sum() * q.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ q).sum()
    return ((k * q).sum() + sums) / (n * (n - 3))


def test_cka_is_the_ratio_of_three_estimates_of_dependence():
    left, right = normal(30, 5) + 2, normal(30, 7, seed=1)
    right[:, :5] += left
    expected = hsic(left, right) / (hsic(left, left) * hsic(right, right)).sqrt()
    assert linear_cka(left, right) == pytest.approx(float(expected), rel=1e-10)


def test_cka_is_the_same_from_either_side():
    left, right = normal(30, 5), normal(30, 7, seed=1)
    assert linear_cka(left, right) == pytest.approx(linear_cka(right, left), abs=1e-12)


@pytest.mark.parametrize("compare", [linear_cka, mutual_neighbours])
def test_a_set_of_features_is_like_itself(compare):
    features = normal(50, 8)
    assert compare(features, features) == pytest.approx(1, abs=1e-12)


def test_turning_scaling_and_shifting_leave_cka_at_1():
    features = normal(50, 8)
    turned = 3 * features @ torch.linalg.qr(normal(8, 8, seed=1)).Q + 100
    assert linear_cka(features, turned) == pytest.approx(1, abs=1e-9)


def test_stretching_one_direction_does_not_leave_cka_at_1():
    features = normal(50, 8)
    stretched = features * torch.tensor([10.0] + [1.0] * 7)
    assert linear_cka(features, stretched) < 0.9


@pytest.mark.parametrize("compare", [linear_cka, mutual_neighbours])
def test_features_of_another_length_can_be_compared(compare):
    features = normal(50, 8)
    assert compare(features, F.pad(features, (0, 5))) == pytest.approx(1, abs=1e-12)


def test_cka_over_all_pairings_of_the_images_is_0_on_average():
    left, right = normal(6, 3), normal(6, 4, seed=1)
    assert all_pairings(linear_cka, left, right) == pytest.approx(0, abs=1e-12)


def test_cka_of_unrelated_features_is_near_0_though_they_are_longer_than_images_are_many():
    assert linear_cka(normal(256, 512), normal(256, 512, seed=1)) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    "featureless",
    [
        torch.ones(40, 3),
        torch.zeros(40, 3),
        F.normalize(torch.full((40, 3), 0.3) + 1e-8 * normal(40, 3).float(), dim=1),
        torch.eye(40),
    ],
    ids=["constant", "zero", "constant but for rounding", "all equally far apart"],
)
def test_cka_is_0_where_one_side_tells_no_images_apart(featureless):
    features = normal(40, 5)
    assert linear_cka(features, featureless) == 0
    assert linear_cka(featureless, features) == 0


def test_small_differences_on_a_large_offset_count_in_full():
    features = normal(40, 5)
    assert linear_cka(features, 1e3 + 1e-2 * features) == pytest.approx(1, abs=1e-6)


def test_neighbours_are_counted_image_by_image():
    # nearest of each: 1 0 3 2 on the left, 1 0 1 2 on the right
    left, right = on_circle(0, 10, 50, 60), on_circle(0, 10, 30, 100)
    assert mutual_neighbours(left, right, k=1) == 3 / 4


def test_the_lengths_of_features_do_not_matter_to_neighbours():
    left, right = normal(40, 5), normal(40, 5, seed=1)
    lengths = torch.arange(1.0, 41.0)[:, None]
    assert mutual_neighbours(left * lengths, right) == mutual_neighbours(left, right)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_neighbours_over_all_pairings_of_the_images_are_shared_by_chance(k):
    left, right = normal(6, 3), normal(6, 3, seed=1)
    found = all_pairings(lambda *sides: mutual_neighbours(*sides, k=k), left, right)
    assert found == pytest.approx(k / 5)


def test_all_others_are_neighbours_at_the_largest_k():
    assert mutual_neighbours(normal(12, 3), normal(12, 3, seed=1), k=11) == 1


def test_working_in_parts_does_not_change_neighbours(monkeypatch):
    left, right = normal(40, 5), normal(40, 5, seed=1)
    whole = mutual_neighbours(left, right)
    monkeypatch.setattr(metrics, "_SIMILARITIES_AT_ONCE", 120)
    assert mutual_neighbours(left, right) == whole


def test_neighbours_of_constant_features_are_shared_by_chance():
    features = normal(200, 5)
    assert mutual_neighbours(features, torch.ones(200, 5)) < 0.2


@pytest.mark.parametrize("k", [0, 10, 11])
def test_neighbours_that_cannot_exist_are_refused(k):
    with pytest.raises(InputError, match="each has 9 neighbours"):
        mutual_neighbours(normal(10, 3), normal(10, 3), k=k)


def test_the_rank_of_equal_directions_is_their_number():
    assert effective_rank(torch.eye(16)[:, :10].repeat(3, 1)) == pytest.approx(10, abs=1e-3)


def test_the_rank_of_unequal_directions_is_that_of_their_entropy():
    features = torch.diag(torch.tensor([3.0, 1.0]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(features) == pytest.approx(math.exp(entropy), abs=1e-5)


def test_the_rank_of_one_direction_is_1():
    assert effective_rank(normal(100, 1) @ normal(1, 128)) == pytest.approx(1, abs=1e-3)


def test_the_rank_of_noise_is_nearly_its_length():
    assert effective_rank(normal(4000, 128)) == pytest.approx(127.5, abs=0.1)


def test_scaling_and_turning_leave_the_rank():
    features = normal(50, 8)
    turned = 7 * features @ torch.linalg.qr(normal(8, 8, seed=1)).Q
    assert effective_rank(turned) == pytest.approx(effective_rank(features))


def test_the_rank_of_constant_features_is_1():
    assert effective_rank(torch.ones(40, 8)) == pytest.approx(1, abs=1e-4)


def test_the_rank_of_zeros_is_0():
    assert effective_rank(torch.zeros(40, 8)) == 0


@pytest.mark.parametrize("compare", [linear_cka, mutual_neighbours])
def test_different_numbers_of_images_are_refused(compare):
    with pytest.raises(InputError, match="of 20 and of 21 images"):
        compare(normal(20, 3), normal(21, 3))


@pytest.mark.parametrize(
    ("measure", "least"),
    [
        (lambda features: linear_cka(features, features), 4),
        (lambda features: mutual_neighbours(features, features, k=1), 2),
        (effective_rank, 2),
    ],
    ids=["cka", "neighbours", "rank"],
)
class TestEveryNumber:
    def test_refuses_too_few_images(self, measure, least):
        with pytest.raises(InputError, match=f"at least {least} images, not {least - 1}"):
            measure(normal(least - 1, 3))

    def test_is_there_for_just_enough_images(self, measure, least):
        assert math.isfinite(measure(normal(least, 3)))

    @pytest.mark.parametrize("shape", [(20,), (20, 3, 2), (20, 0)])
    def test_refuses_what_is_no_table_of_features(self, measure, least, shape):
        with pytest.raises(InputError, match="shape"):
            measure(normal(*shape))

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_refuses_what_is_not_finite(self, measure, least, value):
        features = normal(20, 3)
        features[7, 1] = value
        with pytest.raises(InputError, match="NaN or infinity"):
            measure(features)
