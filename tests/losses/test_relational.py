import itertools

import pytest
import torch

from mimic.losses import relational
from mimic.losses.relational import angle_cosines, distances, relational_loss

SHAPE = (6, 3, 2, 4)


def maps(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rotation(dimension):
    return torch.linalg.qr(maps(9, (dimension, dimension)).double())[0].float()


def literal_distances(outputs):
    rows = outputs.double().flatten(1)
    return torch.stack([torch.stack([(x - y).norm() for y in rows]) for x in rows])


def literal_cosines(outputs):
    """One triplet at a time, from the differences themselves, in float64."""
    rows = outputs.double().flatten(1)
    count = len(rows)
    found = torch.zeros(count, count, count, dtype=torch.float64)
    for j, i, k in itertools.product(range(count), repeat=3):
        one, other = rows[i] - rows[j], rows[k] - rows[j]
        lengths = one.norm() * other.norm()
        if lengths > 0:
            found[j, i, k] = one @ other / lengths
    return found


def smooth_l1(first, second):
    apart = (first - second).abs()
    return torch.where(apart < 1, apart.square() / 2, apart - 0.5).mean().item()


def literal(student, teacher):
    scaled = []
    for outputs in (student, teacher):
        found = literal_distances(outputs)
        scaled.append(found / found[found > 0].mean())
    angles = smooth_l1(literal_cosines(student), literal_cosines(teacher))
    return 25 * smooth_l1(*scaled) + 50 * angles


def test_distances_are_those_of_the_differences():
    found = distances(maps(0)).double()
    torch.testing.assert_close(found, literal_distances(maps(0)), rtol=1e-5, atol=1e-6)


def test_cosines_are_those_of_the_differences():
    found = angle_cosines(maps(0)).double()
    torch.testing.assert_close(found, literal_cosines(maps(0)), rtol=0, atol=1e-5)


def test_a_right_angle_has_the_cosine_zero_and_half_a_right_one_its_own():
    corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = angle_cosines(corner)
    assert found[0, 1, 2].item() == pytest.approx(0, abs=1e-6)
    assert found[1, 0, 2].item() == pytest.approx(0.5**0.5, abs=1e-6)


def test_the_loss_equals_a_literal_loop():
    found = relational_loss(maps(0), maps(1)).item()
    assert found == pytest.approx(literal(maps(0), maps(1)), rel=1e-4)


def test_far_from_the_origin_the_digits_still_suffice():
    student, teacher = maps(0) + 10, maps(1) - 10
    found = relational_loss(student, teacher).item()
    assert found == pytest.approx(literal(student, teacher), rel=1e-3)


def test_equal_maps_cost_nothing():
    assert relational_loss(maps(0), maps(0)).item() == 0


def test_a_rotation_of_the_student_changes_nothing():
    rows = maps(0).flatten(1)
    expected = relational_loss(rows, maps(1)).item()
    assert relational_loss(rows @ rotation(24), maps(1)).item() == pytest.approx(expected, rel=1e-4)


def test_a_shift_and_a_scale_of_the_student_change_nothing():
    expected = relational_loss(maps(0), maps(1)).item()
    found = relational_loss(7 * maps(0) + 2, maps(1)).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_order_of_the_images_does_not_count():
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    expected = relational_loss(maps(0), maps(1)).item()
    found = relational_loss(maps(0)[order], maps(1)[order]).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_triplets_are_formed_among_the_first_images_only(monkeypatch):
    monkeypatch.setattr(relational, "TRIPLETS_AMONG", 4)
    few = smooth_l1(literal_cosines(maps(0)[:4]), literal_cosines(maps(1)[:4]))
    all_of_them = smooth_l1(literal_cosines(maps(0)), literal_cosines(maps(1)))
    expected = literal(maps(0), maps(1)) + 50 * (few - all_of_them)
    assert relational_loss(maps(0), maps(1)).item() == pytest.approx(expected, rel=1e-4)


def test_an_image_that_comes_twice_is_at_distance_zero_and_forms_no_angle():
    twice = torch.cat([maps(0), maps(0)[:1]])
    assert distances(twice)[0, 6] == 0
    assert (angle_cosines(twice)[0, 6] == 0).all()


@pytest.mark.parametrize("student", [torch.zeros(SHAPE), torch.ones(SHAPE), maps(0)[:1]])
def test_images_that_cannot_be_told_apart_have_finite_gradients(student):
    student = student.clone().requires_grad_()
    loss = relational_loss(student, maps(1)[: len(student)])
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_widths_may_differ():
    assert relational_loss(maps(0), maps(1, (6, 5))).isfinite()


def test_gradients_are_those_of_the_differences():
    def direct(student, teacher):
        sides = []
        for rows in (student, teacher):
            apart = rows[None] - rows[:, None]
            lengths = apart.square().sum(dim=2).add(torch.eye(len(rows))).sqrt()
            lengths = lengths - torch.eye(len(rows))
            unit = torch.nn.functional.normalize(apart, dim=2)
            sides.append((lengths / (lengths.sum() / 30), unit @ unit.transpose(1, 2)))
        near, angles = map(torch.nn.functional.smooth_l1_loss, *sides)
        return 25 * near + 50 * angles

    grads = []
    for loss in (relational_loss, direct):
        student = maps(0, (6, 8)).requires_grad_()
        loss(student, maps(1, (6, 8))).backward()
        grads.append(student.grad)
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = maps(0).requires_grad_(), maps(1).requires_grad_()
    relational_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_bfloat16_gives_a_finite_float32():
    loss = relational_loss(maps(0).bfloat16(), maps(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
