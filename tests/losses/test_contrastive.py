import math

import pytest
import torch
from torch.nn import functional as F

from mimic.losses.contrastive import nt_xent


def projections(seed, batch=6, dimension=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, batch, dimension, generator=generator)


def literal_nt_xent(first, second, temperature):
    """The formula as a double loop over rows, in float64."""
    rows = F.normalize(torch.cat([first, second]).double(), dim=1)
    total, count, batch = 0.0, len(rows), len(first)
    for i in range(count):
        scores = [math.exp((rows[i] @ rows[j]).item() / temperature) for j in range(count)]
        others = sum(score for j, score in enumerate(scores) if j != i)
        total -= math.log(scores[(i + batch) % count] / others)
    return total / count


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_it_equals_a_literal_double_loop(batch, temperature):
    first, second = projections(0, batch)
    expected = literal_nt_xent(first, second, temperature)
    assert nt_xent(first, second, temperature).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("batch", [1, 5, 128])
def test_a_collapsed_batch_costs_the_logarithm_of_the_other_rows(batch):
    same = torch.ones(batch, 16)
    assert nt_xent(same, same).item() == pytest.approx(math.log(2 * batch - 1), abs=1e-5)


def test_identical_views_of_random_vectors_cost_what_chance_says():
    first, _ = projections(0, 128, 128)
    # mean of exp(s / tau) over cosines s of variance 1 / 128
    expected = math.log(1 + 254 * math.exp(2 / 128) * math.exp(-2))
    assert expected == pytest.approx(3.58, abs=0.005)
    assert nt_xent(first, first).item() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_antipodal_pairs_reach_the_lower_limit(temperature):
    pair = torch.tensor([[1.0, 2.0], [-1.0, -2.0]])
    limit = math.log(1 + 2 * math.exp(-2 / temperature))
    assert nt_xent(pair, pair, temperature).item() == pytest.approx(limit, abs=1e-6)


@pytest.mark.parametrize("batch", [2, 16, 64])
def test_it_never_falls_below_the_lower_limit(batch):
    limit = math.log(1 + (2 * batch - 2) * math.exp(-2 / 0.5))
    losses = [nt_xent(view, view).item() for seed in range(5) for view in projections(seed, batch)]
    assert min(losses) >= limit - 1e-6


def test_the_order_of_the_images_changes_nothing():
    first, second = projections(0)
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(1))
    expected = nt_xent(first, second).item()
    assert nt_xent(first[order], second[order]).item() == pytest.approx(expected, abs=1e-6)


def test_the_views_may_be_swapped():
    first, second = projections(0)
    assert nt_xent(second, first).item() == pytest.approx(nt_xent(first, second).item(), abs=1e-6)


def test_the_length_of_a_projection_does_not_count():
    first, second = projections(0)
    expected = nt_xent(first, second).item()
    assert nt_xent(10 * first, 0.1 * second).item() == pytest.approx(expected, abs=1e-5)


def test_partners_must_be_in_the_same_order():
    first, _ = projections(0, 32, 64)
    assert nt_xent(first, first.roll(1, 0)) > nt_xent(first, first)


@pytest.mark.parametrize("batch", [1, 6])
def test_gradients_are_finite(batch):
    views = projections(0, batch).requires_grad_()
    nt_xent(*views).backward()
    assert views.grad.isfinite().all()


def test_both_views_get_gradients():
    first, second = (view.requires_grad_() for view in projections(0))
    nt_xent(first, second).backward()
    assert min(first.grad.abs().sum(), second.grad.abs().sum()) > 0


def test_bfloat16_gives_a_finite_float32():
    first, second = projections(0).bfloat16()
    loss = nt_xent(first, second)
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_autocast_does_not_round_the_similarities():
    first, second = projections(0, 16, 32)
    expected = nt_xent(first, second, 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nt_xent(first, second, 0.07), expected)
