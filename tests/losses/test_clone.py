import pytest
import torch
from torch import nn

from mimic.losses.clone import clone_loss


def features(seed, shape=(6, 9)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_it_is_one_minus_the_mean_cosine():
    student, teacher = features(0).double(), features(1).double()
    cosines = [
        (s @ t / (s.norm() * t.norm())).item() for s, t in zip(student, teacher, strict=True)
    ]
    expected = 1 - sum(cosines) / len(cosines)
    assert clone_loss(features(0), features(1)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("factor", "expected"), [(3.0, 0.0), (-0.5, 2.0)])
def test_only_the_direction_counts(factor, expected):
    assert clone_loss(factor * features(0), features(0)).item() == pytest.approx(expected, abs=1e-6)


def test_orthogonal_features_cost_one():
    student, teacher = torch.eye(6).chunk(2)
    assert clone_loss(student, teacher).item() == 1


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = features(0).requires_grad_(), features(1).requires_grad_()
    clone_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_copy_of_the_teacher_has_no_gradient_on_the_same_view():
    teacher = nn.Linear(4, 9)
    images = features(2, (6, 4))
    student = nn.Linear(4, 9)
    student.load_state_dict(teacher.state_dict())
    clone_loss(student(images), teacher(images).detach()).backward()
    assert student.weight.grad.abs().max() < 1e-6


def test_a_feature_of_zeros_has_finite_gradients():
    student = torch.zeros(6, 9, requires_grad=True)
    clone_loss(student, features(1)).backward()
    assert student.grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    loss = clone_loss(features(0).bfloat16(), features(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
