"""Which neurons matter to each image, and the distance that weighs them."""

import pytest
import torch
from torch import Tensor

from mimic.losses.importance import importance, matching_loss

SHAPE = (5, 3, 2, 4)
MEAN = torch.tensor([0.5, -1.0, 0.0])
DEVIATION = torch.tensor([0.5, 2.0, 1.5])


def noise(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def weights(*, gradients=None, deviation=DEVIATION, temperature=5.0, grad_norm=False) -> Tensor:
    """Importance of random activations, by default for random gradients."""
    gradients = noise(1) if gradients is None else gradients
    return importance(
        noise(0), gradients, MEAN, deviation, temperature=temperature, grad_norm=grad_norm
    )


def test_importance_is_the_geometric_mean_of_two_softmaxes():
    centre, scale = (v.double()[:, None, None] for v in (MEAN, DEVIATION))
    values = [5 * (noise(0).double() - centre) / scale, 5 * noise(1).double() * scale]
    first, second = (value.flatten(1).softmax(dim=1) for value in values)
    torch.testing.assert_close(weights().flatten(1), (first * second).sqrt().float())


@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("grad_norm", [True, False])
def test_the_importance_of_an_image_sums_to_one_at_most(temperature, grad_norm):
    found = weights(temperature=temperature, grad_norm=grad_norm)
    assert bool((found >= 0).all())
    assert found.flatten(1).sum(dim=1).max().item() <= 1 + 1e-6


def test_without_temperature_all_neurons_weigh_the_same():
    torch.testing.assert_close(weights(temperature=0.0), torch.full(SHAPE, 1 / 24))


def test_neurons_of_a_dead_channel_have_no_weight():
    found = weights(deviation=torch.tensor([0.5, 0.0, 1.5]), temperature=0.0)
    assert bool((found[:, 1] == 0).all())
    torch.testing.assert_close(found[:, [0, 2]], torch.full((5, 2, 2, 4), 1 / 16))


def test_a_layer_that_is_wholly_dead_has_no_weight():
    assert bool((weights(deviation=torch.zeros(3), grad_norm=True) == 0).all())


def test_normalised_gradients_have_no_unit():
    first, second = (weights(gradients=f * noise(1), grad_norm=True) for f in (1.0, 1e-6))
    torch.testing.assert_close(first, second)


def test_tiny_gradients_say_nothing_unless_they_are_normalised():
    gradients, none = 1e-6 * noise(1), torch.zeros(SHAPE)
    torch.testing.assert_close(weights(gradients=gradients), weights(gradients=none))
    named = weights(gradients=gradients, grad_norm=True)
    assert (named - weights(gradients=none)).abs().max().item() > 1e-2


def test_gradients_of_zero_can_be_normalised():
    none = torch.zeros(SHAPE)
    torch.testing.assert_close(weights(gradients=none, grad_norm=True), weights(gradients=none))


def test_the_matching_loss_sums_over_neurons_and_averages_over_images():
    student, teacher, weight = noise(2), noise(3), noise(4).abs()
    scale = DEVIATION.double()[:, None, None]
    distances = weight.double() * ((teacher.double() - student.double()) / scale) ** 2
    expected = distances.sum().item() / SHAPE[0]
    assert matching_loss(student, teacher, weight, DEVIATION).item() == pytest.approx(expected)


def test_a_dead_channel_costs_nothing_whatever_the_student_does():
    deviation = torch.tensor([0.0, 2.0, 1.5])
    student, weight = noise(2), weights(deviation=deviation)
    other = student.clone()
    other[:, 0] += 1e6
    losses = [matching_loss(each, noise(3), weight, deviation) for each in (student, other)]
    assert torch.equal(*losses)
