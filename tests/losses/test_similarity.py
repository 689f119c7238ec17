import pytest
import torch

from mimic.losses.similarity import similarity_loss

SHAPE = (6, 3, 2, 4)


def maps(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rotation(dimension):
    return torch.linalg.qr(maps(9, (dimension, dimension)).double())[0].float()


def literal(student, teacher):
    """The formula, one pair of images at a time, in float64."""
    sides = []
    for outputs in (student, teacher):
        rows = outputs.double().flatten(1)
        similar = torch.tensor(
            [
                [sum(a * b for a, b in zip(x, y, strict=True)) for y in rows.tolist()]
                for x in rows.tolist()
            ],
            dtype=torch.float64,
        )
        sides.append(similar / similar.square().sum(dim=1, keepdim=True).sqrt())
    return ((sides[0] - sides[1]).square().sum() / len(student) ** 2).item()


def test_the_loss_equals_a_literal_loop():
    found = similarity_loss(maps(0), maps(1)).item()
    assert found == pytest.approx(literal(maps(0), maps(1)), rel=1e-5)


def test_equal_maps_cost_nothing():
    assert similarity_loss(maps(0), maps(0)).item() == 0


def test_a_rotation_of_the_student_changes_nothing():
    rows = maps(0).flatten(1)
    expected = similarity_loss(rows, maps(1)).item()
    assert similarity_loss(rows @ rotation(24), maps(1)).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("factor", [0.01, 30.0])
def test_the_scale_of_the_student_does_not_count(factor):
    expected = similarity_loss(maps(0), maps(1)).item()
    assert similarity_loss(factor * maps(0), maps(1)).item() == pytest.approx(expected, rel=1e-4)


def test_the_order_of_the_images_does_not_count():
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    expected = similarity_loss(maps(0), maps(1)).item()
    found = similarity_loss(maps(0)[order], maps(1)[order]).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_two_images_give_the_closed_form():
    teacher = torch.tensor([[1.0], [-1.0]])
    orthogonal = torch.eye(2)
    # rows (1, 0), (0, 1) against (1, -1) / sqrt 2: each differs by 2 - sqrt 2
    expected = 2 * (2 - 2**0.5) / 4
    assert similarity_loss(orthogonal, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_widths_may_differ():
    assert similarity_loss(maps(0), maps(1, (6, 5))).isfinite()


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = maps(0).requires_grad_(), maps(1).requires_grad_()
    similarity_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_dead_map_has_finite_gradients():
    student = torch.zeros(SHAPE, requires_grad=True)
    similarity_loss(student, maps(1)).backward()
    assert student.grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    loss = similarity_loss(maps(0).bfloat16(), maps(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
