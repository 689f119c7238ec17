import math

import pytest
import torch

from mimic.losses.attention import attention_loss, attention_map

SHAPE = (5, 7, 6, 4)


def features(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def literal_map(feature_map, power=2):
    """The formula, one position at a time, in float64."""
    batch, channels, height, width = feature_map.shape
    values = feature_map.double().tolist()
    out = torch.zeros(batch, height, width, dtype=torch.float64)
    for b in range(batch):
        for h in range(height):
            for w in range(width):
                out[b, h, w] = sum(abs(values[b][c][h][w]) ** power for c in range(channels))
        out[b] /= math.sqrt(sum(value**2 for value in out[b].flatten().tolist())) + 1e-6
    return out


@pytest.mark.parametrize("power", [1, 2, 4])
def test_a_map_equals_a_literal_loop(power):
    found = attention_map(features(0), power)
    torch.testing.assert_close(found.double(), literal_map(features(0), power), atol=1e-6, rtol=0)


def test_a_map_has_unit_frobenius_norm():
    norms = attention_map(features(1)).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(SHAPE[0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("extra", [0, 1, 3])
def test_tokens_of_places_are_a_map_and_the_others_do_not_count(extra):
    tokens = features(2, (5, extra + 24, 7))
    as_grid = tokens[:, extra:].transpose(1, 2).reshape(5, 7, 4, 6)
    assert torch.equal(attention_map(tokens, size=(64, 96)), attention_map(as_grid))


def test_tokens_that_fit_no_grid_stay_a_column():
    tokens = features(2, (5, 30, 7))
    as_column = tokens.transpose(1, 2).reshape(5, 7, 30, 1)
    assert torch.equal(attention_map(tokens, size=(90, 700)), attention_map(as_column))


def test_a_class_token_does_not_change_the_loss():
    student, teacher = features(2, (5, 17, 7)), features(3, (5, 17, 7))
    expected = attention_loss(student[:, 1:], teacher[:, 1:])
    student[:, 0] *= 100
    assert torch.equal(attention_loss(student, teacher), expected)


def test_the_loss_equals_a_literal_loop():
    expected = (literal_map(features(0)) - literal_map(features(1))).square().mean().item()
    assert attention_loss(features(0), features(1)).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_equal_maps_is_zero():
    assert attention_loss(features(0), features(0)).item() == 0


@pytest.mark.parametrize("factor", [0.05, 3.0, 1e4])
def test_the_loss_ignores_the_scale_of_a_map(factor):
    expected = attention_loss(features(0), features(1)).item()
    assert attention_loss(factor * features(0), features(1)).item() == pytest.approx(expected, 1e-3)


@pytest.mark.parametrize("size", [(2, 2), (4, 8), (32, 32)])
def test_the_loss_reaches_its_upper_limit_where_attention_is_disjoint(size):
    height, width = size
    student, teacher = torch.zeros(2, 3, 3, *size)
    student[..., 0, 0] = 1
    teacher[..., -1, -1] = 1
    limit = 2 / (height * width)
    assert attention_loss(student, teacher).item() == pytest.approx(limit, rel=1e-5)


def test_the_loss_stays_below_its_upper_limit():
    losses = [attention_loss(features(i), features(i + 1)).item() for i in range(20)]
    assert max(losses) <= 2 / (SHAPE[2] * SHAPE[3])


def test_channels_may_differ():
    assert attention_loss(features(0), features(1, (5, 3, 6, 4))).isfinite()


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = features(0).requires_grad_(), features(1).requires_grad_()
    attention_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_dead_map_has_finite_gradients():
    student = torch.zeros(SHAPE, requires_grad=True)
    attention_loss(student, features(1)).backward()
    assert student.grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    loss = attention_loss(features(0).bfloat16(), features(1).bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
