import math

import pytest
import torch

from mimic.losses.repulsion import repulsion


def features(seed, shape=(6, 9)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def at(degrees: float) -> torch.Tensor:
    """A feature in the plane of two axes."""
    return torch.tensor([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0]])


@pytest.mark.parametrize(
    ("student", "lured", "expected"),
    [
        (0, 90, 0.0),  # where it belongs
        (90, 90, 1.0),  # where the teacher is drawn
        (30, 90, 0.25),  # sin(30)^2
        (30, 30, 0.125),  # the teacher is hardly drawn there: times sin(30)
        (-30, 90, 0.0),  # to the other side
        (30, 0, 0.0),  # the change does nothing to the teacher
    ],
)
def test_it_is_the_square_of_what_leans_to_the_lure(student, lured, expected):
    assert repulsion(at(student), at(0), at(lured)).item() == pytest.approx(expected, abs=1e-6)


def test_it_is_the_mean_over_images():
    student, wanted, lured = (features(seed).double() for seed in range(3))
    each = []
    for s, w, g in zip(student, wanted, lured, strict=True):
        s, w, g = s / s.norm(), w / w.norm(), g / g.norm()
        away = g - (g @ w) * w
        each.append((away.norm() * max(0.0, s @ away / away.norm()) ** 2).item())
    found = repulsion(student.float(), wanted.float(), lured.float()).item()
    assert found == pytest.approx(sum(each) / len(each), abs=1e-6)
    assert found > 0


def test_only_directions_count():
    one, two, three = features(0), features(1), features(2)
    assert repulsion(2 * one, 3 * two, 0.5 * three).item() == pytest.approx(
        repulsion(one, two, three).item(), abs=1e-6
    )


def test_a_step_against_the_gradient_leaves_the_lure():
    student, wanted, lured = features(0).requires_grad_(), features(1), features(2)
    loss = repulsion(student, wanted, lured)
    loss.backward()
    assert repulsion(student.detach() - 0.5 * student.grad, wanted, lured) < loss


@pytest.mark.parametrize("nothing", [0, 1, 2])
def test_features_of_zeros_and_unchanged_ones_have_finite_gradients(nothing):
    given = [features(0).requires_grad_(), features(1), features(1)]
    given[nothing] = torch.zeros(6, 9, requires_grad=nothing == 0)
    loss = repulsion(*given)
    loss.backward()
    assert given[0].grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    loss = repulsion(*(features(seed).bfloat16() for seed in range(3)))
    assert loss.dtype == torch.float32
    assert loss.isfinite()
