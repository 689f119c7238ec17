"""Relations of pooled maps: against a literal loop, and what does not count."""

import pytest
import torch
from torch import Tensor

from mimic.errors import InputError
from mimic.losses.pooled import pooled_relation_loss


def outputs(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


MAP, OTHER, TOKENS = outputs(0, 5, 3, 4, 4), outputs(1, 5, 7, 2, 6), outputs(2, 5, 9, 6)


def literal(student: Tensor, teacher: Tensor) -> float:
    """One pair of images at a time, in float64."""
    total = 0.0
    for i in range(len(student)):
        for j in range(len(student)):
            cosines = []
            for outputs, positions in ((student, (1, 2)), (teacher, (1, 2))):
                first, second = (outputs[k].double().mean(dim=positions) for k in (i, j))
                cosines.append((first @ second / (first.norm() * second.norm())).item())
            total += (cosines[0] - cosines[1]) ** 2
    return total / len(student) ** 2


def test_it_equals_a_literal_loop():
    assert pooled_relation_loss(MAP, OTHER).item() == pytest.approx(literal(MAP, OTHER), abs=1e-6)


def test_tokens_are_averaged_like_positions():
    as_map = TOKENS.transpose(1, 2).unsqueeze(-1)
    expected = literal(as_map, OTHER)
    assert pooled_relation_loss(TOKENS, OTHER).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "same",
    [
        7 * MAP,
        MAP.flip(3),
        MAP[:, [2, 0, 1]],
        torch.cat([MAP, torch.zeros(5, 2, 4, 4)], dim=1),
        MAP.flatten(2).transpose(1, 2),
    ],
)
def test_scale_channels_and_positions_do_not_count(same):
    assert pooled_relation_loss(same, MAP).item() == pytest.approx(0, abs=1e-6)


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = MAP.clone().requires_grad_(), OTHER.clone().requires_grad_()
    pooled_relation_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_dead_map_has_finite_gradients():
    student = torch.zeros(5, 3, 4, 4, requires_grad=True)
    pooled_relation_loss(student, OTHER).backward()
    assert student.grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    loss = pooled_relation_loss(MAP.bfloat16(), OTHER.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4, 5, 6)])
def test_what_is_neither_map_nor_tokens_is_refused(shape):
    with pytest.raises(InputError, match=r"a map \(B, C, H, W\) or tokens"):
        pooled_relation_loss(torch.rand(shape), OTHER)
