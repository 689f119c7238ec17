import pytest
import torch

from mimic.demo.projection import project
from mimic.errors import InputError


def _features() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(40, 5) * torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1])


def test_the_plane_keeps_the_two_largest_variances():
    features = _features()
    exact = torch.linalg.eigvalsh(features.double().T.cov()).flip(0)[:2]
    torch.testing.assert_close(project(features).double().var(dim=0), exact, rtol=1e-5, atol=0)


def test_coordinates_have_zero_mean():
    assert project(_features()).mean(dim=0).abs().max() < 1e-5


def test_a_shift_of_all_features_changes_nothing():
    torch.testing.assert_close(project(_features() + 10), project(_features()), rtol=0, atol=1e-4)


def test_the_direction_of_a_component_does_not_depend_on_chance():
    features = _features()
    centred = (features - features.mean(dim=0)).double()
    axes = torch.linalg.lstsq(centred, project(features).double()).solution.T
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    assert (largest > 0).all()


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (5,)])
def test_too_few_features_or_dimensions_are_refused(shape):
    with pytest.raises(InputError, match="2 features of 2 dimensions"):
        project(torch.zeros(shape))
