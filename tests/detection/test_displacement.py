"""Displacement against a computation in float64, and what it must not depend on."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.detection.displacement import displaced


def features(count: int, seed: int) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)) + 2


def test_it_is_the_distance_of_the_means_over_the_spread_along_their_line():
    changed, plain = features(8, 0) + torch.tensor([3.0, 0, 0, 0, 0, 0]), features(50, 1)
    a, b = F.normalize(changed.double(), dim=1), F.normalize(plain.double(), dim=1)
    line = F.normalize(a.mean(0) - b.mean(0), dim=0)
    expected = (a.mean(0) - b.mean(0)).norm() / (b @ line).std(correction=0)
    assert float(displaced(changed, plain)) == pytest.approx(float(expected), rel=1e-4)


def test_several_changes_are_measured_at_once():
    changed, plain = torch.stack([features(8, seed) for seed in (0, 1, 2)]), features(50, 3)
    alone = torch.stack([displaced(one, plain) for one in changed])
    assert torch.allclose(displaced(changed, plain), alone, rtol=1e-5)


def test_neither_lengths_nor_a_rotation_count():
    changed, plain = features(8, 0), features(50, 1)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(2)))[0]
    turned = displaced(3 * changed @ turn, 0.5 * plain @ turn)
    assert float(turned) == pytest.approx(float(displaced(changed, plain)), rel=1e-4)


def test_what_changes_nothing_moves_nothing():
    plain = features(50, 1)
    assert float(displaced(plain, plain)) == pytest.approx(0, abs=1e-4)


def test_plain_features_that_are_all_alike_give_a_finite_displacement():
    assert bool(displaced(features(8, 0), torch.ones(5, 6)).isfinite())
