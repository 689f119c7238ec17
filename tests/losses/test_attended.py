import pytest
import torch

from mimic.losses.attended import (
    AttendedLoss,
    ChannelAttention,
    attended_loss,
    attended_loss_as_coded,
)
from mimic.training.randomness import seeded

SHAPE = (4, 3, 2, 5)


def maps(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shares(seed=5, shape=(4, 3)):
    return maps(seed, shape).softmax(dim=1)


def attention(channels=3):
    with seeded(0):
        return ChannelAttention(channels)


def literal(student, teacher, weights):
    """The formula, one channel at a time, in float64."""
    total = 0.0
    for image in range(len(student)):
        for channel in range(student.shape[1]):
            own, wanted = (m[image, channel].double() for m in (student, teacher))
            own, wanted = (m / (m.square().sum().sqrt() + 1e-6) for m in (own, wanted))
            weight = weights[image, channel].double().item()
            total += weight * (own - wanted).square().mean().item()
    return total / len(student)


def test_the_loss_equals_a_literal_loop():
    found = attended_loss(maps(0), maps(1), shares()).item()
    assert found == pytest.approx(literal(maps(0), maps(1), shares()), rel=1e-5)


def test_equal_maps_cost_nothing():
    assert attended_loss(maps(0), maps(0), shares()).item() == 0


def test_the_scale_of_a_channel_does_not_count():
    factors = torch.tensor([0.1, 3.0, 50.0])[None, :, None, None]
    expected = attended_loss(maps(0), maps(1), shares()).item()
    found = attended_loss(factors * maps(0), maps(1), shares()).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_opposite_maps_reach_the_upper_limit():
    found = attended_loss(-maps(0), maps(0), shares()).item()
    assert found == pytest.approx(4 / (2 * 5), rel=1e-4)


def test_a_channel_without_a_share_has_no_influence():
    weights = torch.tensor([[0.5, 0.5, 0.0]]).expand(4, 3)
    other = maps(0)
    other[:, 2] = maps(3)[:, 2]
    assert torch.equal(
        attended_loss(other, maps(1), weights), attended_loss(maps(0), maps(1), weights)
    )


def test_tokens_are_positions():
    student, teacher = maps(0, (4, 10, 3)), maps(1, (4, 10, 3))
    as_grid = [tokens.transpose(1, 2)[..., None] for tokens in (student, teacher)]
    expected = attended_loss(*as_grid, shares())
    assert torch.equal(attended_loss(student, teacher, shares()), expected)


def test_attention_is_the_formula_on_pooled_maps():
    module = attention()
    pooled = maps(1).double().mean(dim=(2, 3))
    hidden = (pooled @ module.widen.weight.double().T + module.widen.bias.double()).clamp_min(0)
    scores = hidden @ module.narrow.weight.double().T + module.narrow.bias.double()
    odds = 1 / (1 + (-scores).exp())
    expected = odds / odds.sum(dim=1, keepdim=True)
    torch.testing.assert_close(module(maps(1)).double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("batch", [1, 4])
def test_shares_sum_to_one(batch):
    found = attention()(maps(1)[:batch])
    assert found.shape == (batch, 3)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(batch))


def test_attention_is_trained_along_with_the_student():
    loss, student = AttendedLoss(3), maps(0).requires_grad_()
    loss(student, maps(1)).backward()
    gradients = [student.grad, *(parameter.grad for parameter in loss.parameters())]
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_dead_map_has_finite_gradients():
    student = torch.zeros(SHAPE, requires_grad=True)
    attended_loss(student, maps(1), shares()).backward()
    assert student.grad.isfinite().all()


def test_the_coded_loss_draws_attention_anew_and_never_trains_it():
    student = maps(0).requires_grad_()
    with seeded(1):
        first, second = (attended_loss_as_coded(student, maps(1)) for _ in range(2))
    with seeded(1):
        again = attended_loss_as_coded(student, maps(1))
    with seeded(1):
        weights = ChannelAttention(3)(maps(1))
    torch.testing.assert_close(first, attended_loss(student, maps(1), weights))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_the_coded_loss_of_equal_maps_is_zero():
    assert attended_loss_as_coded(maps(0), maps(0)).item() == 0


def test_bfloat16_gives_a_finite_float32():
    loss = AttendedLoss(3).bfloat16()(maps(0).bfloat16(), maps(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
