import math

import pytest
import torch

from mimic.losses.correlation import correlation_as_coded, correlation_loss

SHAPE = (6, 3, 2, 4)
ORDER = torch.tensor([3, 1, 5, 0, 2, 4])


def maps(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rotation(dimension):
    return torch.linalg.qr(maps(9, (dimension, dimension)).double())[0].float()


def literal(student, teacher):
    """The formula, one pair of images at a time, in float64."""
    kernels = []
    for outputs in (student, teacher):
        rows = [row / row.norm() for row in outputs.double().flatten(1)]
        kernels.append(
            [[math.exp(-0.4 * (x - y).square().sum().item()) for y in rows] for x in rows]
        )
    difference = torch.tensor(kernels[0]).double() - torch.tensor(kernels[1]).double()
    return (difference.square().sum() / len(student) ** 2).item()


def test_the_loss_equals_a_literal_loop():
    found = correlation_loss(maps(0), maps(1)).item()
    assert found == pytest.approx(literal(maps(0), maps(1)), rel=1e-5)


def test_equal_maps_cost_nothing():
    assert correlation_loss(maps(0), maps(0)).item() == 0


def test_the_order_of_the_images_does_not_count():
    expected = correlation_loss(maps(0), maps(1)).item()
    found = correlation_loss(maps(0)[ORDER], maps(1)[ORDER]).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_rotation_of_the_student_changes_nothing():
    rows = maps(0).flatten(1)
    expected = correlation_loss(rows, maps(1)).item()
    assert correlation_loss(rows @ rotation(24), maps(1)).item() == pytest.approx(
        expected, rel=1e-4
    )


def test_opposite_images_where_the_teacher_sees_equal_ones_give_the_closed_form():
    found = correlation_loss(torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [1.0]])).item()
    assert found == pytest.approx(2 * (1 - math.exp(-1.6)) ** 2 / 4, rel=1e-5)


def test_widths_may_differ():
    assert correlation_loss(maps(0), maps(1, (6, 5))).isfinite()


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = maps(0).requires_grad_(), maps(1).requires_grad_()
    correlation_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_dead_map_has_finite_gradients():
    student = torch.zeros(SHAPE, requires_grad=True)
    correlation_loss(student, maps(1)).backward()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("loss", [correlation_loss, correlation_as_coded])
def test_bfloat16_gives_a_finite_float32(loss):
    value = loss(maps(0).bfloat16(), maps(1).bfloat16())
    assert value.dtype == torch.float32
    assert value.isfinite()


def test_the_coded_loss_equals_a_literal_loop():
    apart = (maps(0).double() - maps(1).double()).abs()
    total = 0.0
    for image in range(5):
        for row in range(2):
            for column in range(4):
                total += (
                    (apart[image, :, row, column] * apart[image + 1, :, row, column]).sum().item()
                )
    found = correlation_as_coded(maps(0), maps(1)).item()
    assert found == pytest.approx(total / (5 * 2 * 4), rel=1e-5)


def test_the_coded_loss_depends_on_the_order_of_the_images():
    student, teacher = maps(0), maps(1)
    student[:3] = teacher[:3]
    apart = correlation_as_coded(student, teacher).item()
    found = correlation_as_coded(student[ORDER], teacher[ORDER]).item()
    assert abs(found - apart) > 0.1


def test_the_coded_loss_is_zero_where_every_second_image_agrees():
    student, teacher = maps(0), maps(1)
    student[::2] = teacher[::2]
    assert correlation_as_coded(student, teacher).item() == 0


def test_the_coded_loss_takes_tokens_as_positions():
    student, teacher = maps(0, (6, 7, 5)), maps(1, (6, 7, 5))
    as_grid = [tokens.transpose(1, 2)[..., None] for tokens in (student, teacher)]
    assert torch.equal(correlation_as_coded(student, teacher), correlation_as_coded(*as_grid))
