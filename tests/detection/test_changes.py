"""Changes keep their budget, their range and their kind."""

import pytest
import torch
from torch.nn import functional as F

from mimic.detection.changes import Change, Filter, Pattern


def made(kind: type[Change], budget: float = 0.05) -> Change:
    torch.manual_seed(0)
    change = Pattern(4, (12, 10), budget=budget) if kind is Pattern else Filter(4, budget=budget)
    return change.requires_grad_(False)


@pytest.fixture
def greys() -> torch.Tensor:
    """Images far from black and white, where nothing is cut off."""
    return torch.rand(6, 3, 12, 10, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4


@pytest.mark.parametrize("kind", [Pattern, Filter])
def test_every_change_uses_its_budget_up(kind, greys):
    change = made(kind, budget=0.02)
    rms = (change(greys) - greys).square().mean(dim=(1, 2, 3, 4)).sqrt()
    assert torch.allclose(rms, torch.full((4,), 0.02), rtol=1e-4)


@pytest.mark.parametrize("kind", [Pattern, Filter])
def test_changed_images_stay_in_range(kind):
    changed = made(kind, budget=0.9)(torch.rand(6, 3, 12, 10))
    assert changed.shape == (4, 6, 3, 12, 10)
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("kind", [Pattern, Filter])
def test_restarts_differ(kind, greys):
    changed = made(kind)(greys)
    assert all((changed[0] - other).abs().max() > 1e-3 for other in changed[1:])


def test_a_pattern_does_not_depend_on_the_image(greys):
    added = made(Pattern)(greys) - greys
    assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-6)


def test_half_of_the_patterns_start_coarse():
    patterns = made(Pattern).patterns
    steps = patterns.diff(dim=3).square().mean(dim=(1, 2, 3)) / patterns.var(dim=(1, 2, 3))
    assert steps[:2].max() < steps[2:].min() / 2


def test_a_filter_is_a_convolution_and_a_colour(greys):
    change = made(Filter)
    centred = F.pad(greys - 0.5, [1] * 4, mode="replicate")
    for index in range(4):
        rows = slice(3 * index, 3 * index + 3)
        raw = F.conv2d(centred, change.kernels[rows], change.colours[rows])
        wanted = greys + raw * (0.05 / raw.square().mean().sqrt())
        assert torch.allclose(change(greys)[index], wanted, atol=1e-5)


def test_a_filter_takes_images_of_any_size():
    assert made(Filter)(torch.rand(2, 3, 9, 21)).shape == (4, 2, 3, 9, 21)


@pytest.mark.parametrize("kind", [Pattern, Filter])
def test_one_alone_does_what_it_did_among_the_others(kind, greys):
    change = made(kind)
    together = change(greys)
    for index in range(4):
        assert torch.allclose(change.alone(index)(greys)[0], together[index], atol=1e-6)
    assert change.count == 4
