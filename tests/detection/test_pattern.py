"""Patterns keep their budget and their range."""

import pytest
import torch

from mimic.detection.pattern import Pattern


def made(budget: float = 0.05) -> Pattern:
    torch.manual_seed(0)
    return Pattern(4, (12, 10), budget=budget).requires_grad_(False)


@pytest.fixture
def greys() -> torch.Tensor:
    """Images far from black and white, where nothing is cut off."""
    return torch.rand(6, 3, 12, 10, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4


def test_every_pattern_uses_its_budget_up(greys):
    rms = (made(budget=0.02)(greys) - greys).square().mean(dim=(1, 2, 3, 4)).sqrt()
    assert torch.allclose(rms, torch.full((4,), 0.02), rtol=1e-4)


def test_changed_images_stay_in_range():
    changed = made(budget=0.9)(torch.rand(6, 3, 12, 10))
    assert changed.shape == (4, 6, 3, 12, 10)
    assert torch.equal(changed, changed.clamp(0, 1))


def test_restarts_differ(greys):
    changed = made()(greys)
    assert all((changed[0] - other).abs().max() > 1e-3 for other in changed[1:])


def test_a_pattern_does_not_depend_on_the_image(greys):
    added = made()(greys) - greys
    assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-6)


def test_half_of_the_patterns_start_coarse():
    patterns = made().patterns
    steps = patterns.diff(dim=3).square().mean(dim=(1, 2, 3)) / patterns.var(dim=(1, 2, 3))
    assert steps[:2].max() < steps[2:].min() / 2


def test_one_alone_does_what_it_did_among_the_others(greys):
    pattern = made()
    together = pattern(greys)
    for index in range(4):
        assert torch.allclose(pattern.alone(index)(greys)[0], together[index], atol=1e-6)
    assert pattern.count == 4
