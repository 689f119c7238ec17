import pytest
import torch
from torch.nn import functional as F

from mimic.detection.forgetting import forgotten


@pytest.fixture
def plain() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def test_it_is_one_minus_the_slope_of_a_regression(plain):
    changed = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)) + plain
    x, y = (F.normalize(features.double(), dim=1) for features in (plain, changed))
    # least squares of all coordinates together, with an intercept for each
    design = torch.cat([x.flatten()[:, None], torch.eye(4).double().repeat(6, 1)], dim=1)
    slope = torch.linalg.lstsq(design, y.flatten()[:, None]).solution[0].item()
    assert forgotten(changed, plain).item() == pytest.approx(1 - slope, abs=1e-6)


def test_features_that_stay_are_not_forgotten(plain):
    assert forgotten(3 * plain, plain).item() == pytest.approx(0, abs=1e-6)


def test_features_that_become_alike_are_forgotten(plain):
    assert forgotten(plain[:1].expand(6, 4), plain).item() == pytest.approx(1, abs=1e-6)


def test_features_that_are_scattered_are_forgotten():
    many = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    assert forgotten(many.roll(1, 0), many).item() == pytest.approx(1, abs=0.05)


def test_more_than_all_cannot_be_forgotten(plain):
    assert forgotten(-plain, plain).item() == 1


def test_sets_are_judged_one_by_one(plain):
    sets = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(2))
    together = forgotten(sets, plain)
    assert torch.allclose(together, torch.stack([forgotten(one, plain) for one in sets]))


def test_images_that_are_all_alike_give_a_finite_number():
    assert forgotten(torch.ones(3, 2), torch.ones(3, 2)).isfinite()


def test_a_gradient_leads_to_forgetting(plain):
    changed = plain.clone().requires_grad_(True)
    (-forgotten(changed, plain)).backward()
    with torch.no_grad():
        further = changed - 0.1 * changed.grad
    assert forgotten(further, plain) > forgotten(plain, plain)
