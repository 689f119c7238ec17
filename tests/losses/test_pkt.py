import math

import pytest
import torch

from mimic.losses.pkt import neighbour_probabilities, transfer_loss

SHAPE = (6, 3, 2, 4)


def maps(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rotation(dimension):
    return torch.linalg.qr(maps(9, (dimension, dimension)).double())[0].float()


def literal_probabilities(outputs):
    """The formula, one pair of images at a time, in float64."""
    rows = outputs.double().flatten(1)
    table = [[((x @ y / (x.norm() * y.norm())).item() + 1) / 2 for y in rows] for x in rows]
    return [[value / sum(row) for value in row] for row in table]


def literal(student, teacher):
    own, wanted = literal_probabilities(student), literal_probabilities(teacher)
    terms = [
        p * math.log((p + 1e-7) / (q + 1e-7))
        for row, other in zip(wanted, own, strict=True)
        for p, q in zip(row, other, strict=True)
    ]
    return sum(terms) / len(terms)


def test_the_loss_equals_a_literal_loop():
    found = transfer_loss(maps(0), maps(1)).item()
    assert found == pytest.approx(literal(maps(0), maps(1)), rel=1e-4)


def test_the_probabilities_of_an_image_sum_to_one():
    sums = neighbour_probabilities(maps(0)).sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(6))


def test_equal_maps_cost_nothing():
    assert transfer_loss(maps(0), maps(0)).item() == 0


def test_a_rotation_of_the_student_changes_nothing():
    rows = maps(0).flatten(1)
    expected = transfer_loss(rows, maps(1)).item()
    assert transfer_loss(rows @ rotation(24), maps(1)).item() == pytest.approx(expected, rel=1e-3)


def test_the_loss_is_positive_where_the_neighbours_differ():
    assert min(transfer_loss(maps(i), maps(i + 1)).item() for i in range(10)) > 1e-4


@pytest.mark.parametrize("dimension", [1, 3, 500])
def test_opposite_images_are_no_neighbours_and_give_finite_gradients(dimension):
    row = maps(0, (1, dimension))
    student = torch.cat([row, -row]).requires_grad_()
    loss = transfer_loss(student, maps(1, (2, dimension)))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_widths_may_differ():
    assert transfer_loss(maps(0), maps(1, (6, 5))).isfinite()


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = maps(0).requires_grad_(), maps(1).requires_grad_()
    transfer_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_dead_map_has_finite_gradients():
    student = torch.zeros(SHAPE, requires_grad=True)
    transfer_loss(student, maps(1)).backward()
    assert student.grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    loss = transfer_loss(maps(0).bfloat16(), maps(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
