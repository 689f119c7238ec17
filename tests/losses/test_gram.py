import pytest
import torch

from mimic.losses.gram import gram_loss


def features(seed, shape=(6, 9)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rotation(dimension):
    """A random orthogonal matrix."""
    return torch.linalg.qr(features(7, (dimension, dimension)).double())[0].float()


def test_it_is_the_squared_frobenius_distance_over_the_number_of_pairs():
    unit = [
        f.double() / f.double().norm(dim=1, keepdim=True)
        for f in (features(0), features(1, (6, 4)))
    ]
    first, second = (rows @ rows.T for rows in unit)
    expected = (torch.linalg.matrix_norm(first - second) ** 2 / 6**2).item()
    assert gram_loss(features(0), features(1, (6, 4))).item() == pytest.approx(expected, abs=1e-6)


def test_equal_features_cost_nothing():
    assert gram_loss(features(0), features(0)).item() == 0


def test_a_rotation_of_the_student_changes_nothing():
    turned = features(0) @ rotation(9)
    torch.testing.assert_close(
        gram_loss(turned, features(1)), gram_loss(features(0), features(1)), rtol=1e-5, atol=1e-6
    )


def test_lengths_do_not_count():
    lengths = torch.arange(1.0, 7.0)[:, None]
    assert gram_loss(lengths * features(0), features(0)).item() == pytest.approx(0, abs=1e-6)


def test_a_joint_order_of_images_does_not_count():
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(
        gram_loss(features(0)[order], features(1)[order]), gram_loss(features(0), features(1))
    )


def test_opposite_pairs_that_should_agree_cost_most():
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert gram_loss(opposite, alike).item() == 2  # the diagonal, half of all pairs, agrees


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = features(0).requires_grad_(), features(1).requires_grad_()
    gram_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_feature_of_zeros_has_finite_gradients():
    student = torch.zeros(6, 9, requires_grad=True)
    gram_loss(student, features(1)).backward()
    assert student.grad.isfinite().all()


def test_autocast_does_not_round_the_cosines():
    exact = gram_loss(features(0), features(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gram_loss(features(0), features(1)), exact)


def test_bfloat16_gives_a_finite_float32():
    loss = gram_loss(features(0).bfloat16(), features(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
