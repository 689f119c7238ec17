"""The jackknife: a closed form for means, and how often it holds truths that are known."""

import math

import pytest
import torch
from torch import Tensor

from mimic.errors import InputError
from mimic.verification.intervals import GROUPS, jackknife_interval
from mimic.verification.metrics import linear_cka, mutual_neighbours

RHO = 0.8


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs of normal vectors; their linear CKA is the square of the correlation RHO."""
    left, noise = normal(2, count, 4, seed=seed)
    return left, RHO * left + math.sqrt(1 - RHO**2) * noise


def interval_of(compare, *, seed: int) -> tuple[float, float, float]:
    left, right = correlated(60, seed=seed)
    return jackknife_interval(lambda kept: compare(left[kept], right[kept]), 60, bounds=(-1, 1))


def masks_of(count: int, *, seed: int = 0) -> Tensor:
    """What the statistic is asked for, but for the last time, when it is asked for all."""
    masks: list[Tensor] = []

    def spy(kept: Tensor) -> float:
        masks.append(kept)
        return 0.0

    jackknife_interval(spy, count, seed=seed)
    assert masks[-1].all()
    return torch.stack(masks[:-1])


@pytest.mark.parametrize("count", [40, 47, 200])
def test_each_image_is_left_out_once(count):
    assert (~masks_of(count)).sum(dim=0).tolist() == [1] * count


def test_groups_differ_by_one_image_at_most():
    assert set((~masks_of(47)).sum(dim=1).tolist()) == {2, 3}


def test_the_interval_of_a_mean_is_that_of_its_group_means():
    values = normal(100)
    value, low, high = jackknife_interval(lambda kept: float(values[kept].mean()), 100)
    means = torch.stack([values[~kept].mean() for kept in masks_of(100)])
    half = 2.093 * float(means.std()) / math.sqrt(GROUPS)
    assert value == pytest.approx(float(values.mean()))
    assert (low, high) == pytest.approx((value - half, value + half))


def test_what_does_not_depend_on_the_images_has_no_width():
    assert jackknife_interval(lambda kept: 0.5, 40) == (0.5, 0.5, 0.5)


def test_nothing_leaves_the_bounds():
    values = normal(40)
    free = jackknife_interval(lambda kept: float(values[kept].mean()), 40)
    cut = jackknife_interval(lambda kept: float(values[kept].mean()), 40, bounds=free[:1] * 2)
    assert cut == (free[0],) * 3
    assert free[1] < free[0] < free[2]


def test_the_seed_decides_the_groups():
    assert torch.equal(masks_of(60, seed=1), masks_of(60, seed=1))
    assert not torch.equal(masks_of(60, seed=1), masks_of(60, seed=2))


def test_the_interval_of_cka_holds_the_truth_about_as_often_as_it_says():
    found = [interval_of(linear_cka, seed=seed) for seed in range(100)]
    covered = sum(low <= RHO**2 <= high for _, low, high in found)
    assert 90 <= covered <= 99


def test_the_interval_of_neighbours_is_not_too_narrow_and_at_most_half_too_wide():
    found = torch.tensor([interval_of(mutual_neighbours, seed=seed) for seed in range(60)])
    expected = found[:, 0].mean()
    covered = (found[:, 1] <= expected) & (expected <= found[:, 2])
    half = (found[:, 2] - found[:, 1]).mean() / 2
    assert covered.double().mean() >= 0.95
    assert half < 1.5 * 2.093 * found[:, 0].std()


def test_fewer_than_two_images_per_group_are_refused():
    with pytest.raises(InputError, match="at least 40 images, not 39"):
        jackknife_interval(lambda kept: 0.0, 39)
