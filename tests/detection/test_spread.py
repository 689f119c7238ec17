"""How far features lie apart, and how much of that is gone."""

import pytest
import torch

from mimic.detection.spread import concentration, spread


def test_the_spread_of_opposite_features_is_one():
    assert spread(torch.tensor([[2.0, 0.0], [-3.0, 0.0]])).item() == pytest.approx(1)


def test_the_spread_is_that_of_a_float64_recomputation():
    features = torch.randn(5, 7, 4)
    rows = features.double() / features.double().norm(dim=2, keepdim=True)
    assert torch.allclose(spread(features).double(), rows.var(dim=1, correction=0).sum(dim=1))


def test_no_spread_is_lost_where_nothing_changes():
    features = torch.randn(6, 4)
    assert concentration(features, features).item() == pytest.approx(0, abs=1e-6)


def test_all_spread_is_lost_where_all_look_alike():
    features = torch.randn(6, 4)
    assert concentration(features[:1].expand(6, 4), features).item() == pytest.approx(1, abs=1e-6)


def test_half_of_the_spread_is_lost():
    # Opposite pairs lie at distance 1 from their mean; pairs at a right angle at half its square.
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    right = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert concentration(right, opposite).item() == pytest.approx(0.5, abs=1e-6)


def test_concentration_is_judged_set_by_set():
    plain, sets = torch.randn(6, 4), torch.randn(3, 6, 4)
    together = concentration(sets, plain)
    assert torch.allclose(together, torch.stack([concentration(one, plain) for one in sets]))


def test_features_that_were_all_alike_before_give_a_number():
    assert concentration(torch.ones(3, 2), torch.ones(3, 2)).isfinite()
