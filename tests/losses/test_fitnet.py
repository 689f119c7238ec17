import pytest
import torch

from mimic.errors import InputError
from mimic.losses.fitnet import hint_loss

SHAPE = (5, 3, 2, 4)


def maps(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [SHAPE, (5, 7, 6)])
def test_the_loss_is_the_mean_over_all_numbers(shape):
    student, teacher = maps(0, shape), maps(1, shape)
    pairs = zip(student.double().flatten().tolist(), teacher.flatten().tolist(), strict=True)
    squares = [(a - b) ** 2 for a, b in pairs]
    assert hint_loss(student, teacher).item() == pytest.approx(sum(squares) / len(squares), 1e-5)


def test_equal_maps_cost_nothing():
    assert hint_loss(maps(0), maps(0)).item() == 0


@pytest.mark.parametrize("shape", [(5, 4, 2, 4), (5, 1, 2, 4), (5, 3, 2, 2)])
def test_maps_of_different_shapes_are_refused(shape):
    with pytest.raises(InputError, match="hints need maps of one shape"):
        hint_loss(maps(0), maps(1, shape))


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = maps(0).requires_grad_(), maps(1).requires_grad_()
    hint_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_bfloat16_gives_a_finite_float32():
    loss = hint_loss(maps(0).bfloat16(), maps(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
