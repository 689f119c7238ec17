import pytest
import torch

from mimic.losses.stage import stage_loss

SHAPE = (2, 5, 3, 4)


def maps(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def literal_stage_loss(student, teacher, weights):
    """Weighted mean of one minus the cosine, one position at a time, in float64."""
    student, teacher = student.double(), teacher.double()
    total = norm = 0.0
    for b in range(student.shape[0]):
        for h in range(student.shape[2]):
            for w in range(student.shape[3]):
                s, t, weight = student[b, :, h, w], teacher[b, :, h, w], weights[b, h, w].item()
                total += weight * (1 - (s @ t / (s.norm() * t.norm())).item())
                norm += weight
    return total / norm


def test_it_equals_a_literal_loop():
    expected = literal_stage_loss(maps(0), maps(1), torch.ones(2, 3, 4))
    assert stage_loss(maps(0), maps(1)).item() == pytest.approx(expected, abs=1e-6)


def test_weights_of_image_positions_are_averaged_down_to_the_map():
    counted = torch.rand(2, 1, 6, 12, generator=torch.Generator().manual_seed(2))
    averaged = counted.double().reshape(2, 3, 2, 4, 3).mean(dim=(2, 4))
    expected = literal_stage_loss(maps(0), maps(1), averaged)
    assert stage_loss(maps(0), maps(1), counted).item() == pytest.approx(expected, abs=1e-6)


def test_counting_everything_equals_no_mask():
    counted = torch.ones(2, 1, 6, 8)
    expected = stage_loss(maps(0), maps(1)).item()
    assert stage_loss(maps(0), maps(1), counted).item() == pytest.approx(expected, abs=1e-6)


def test_what_is_not_counted_has_no_influence():
    counted = torch.ones(2, 1, 3, 4)
    counted[..., 0] = 0
    spoiled = maps(0)
    spoiled[..., 0] = 100 * maps(3)[..., 0]
    assert torch.equal(stage_loss(spoiled, maps(1), counted), stage_loss(maps(0), maps(1), counted))


def test_counting_nothing_costs_nothing():
    assert stage_loss(maps(0), maps(1), torch.zeros(2, 1, 6, 8)).item() == 0


@pytest.mark.parametrize(("factor", "expected"), [(3.0, 0.0), (-0.5, 2.0)])
def test_only_the_direction_counts(factor, expected):
    assert stage_loss(factor * maps(0), maps(0)).item() == pytest.approx(expected, abs=1e-6)


def test_tokens_are_compared_one_by_one():
    student, teacher = maps(0, (2, 7, 5)), maps(1, (2, 7, 5))
    expected = literal_stage_loss(
        student.transpose(1, 2)[..., None], teacher.transpose(1, 2)[..., None], torch.ones(2, 7, 1)
    )
    assert stage_loss(student, teacher).item() == pytest.approx(expected, abs=1e-6)


def test_tokens_of_places_are_counted_like_a_map_and_the_others_in_full():
    extra = 2
    student, teacher = maps(0, (2, extra + 12, 5)), maps(1, (2, extra + 12, 5))
    counted = torch.rand(2, 1, 6, 8, generator=torch.Generator().manual_seed(2))
    places = counted.double().reshape(2, 3, 2, 4, 2).mean(dim=(2, 4)).flatten(1)
    weights = torch.cat([torch.ones(2, extra), places], dim=1)[..., None]
    columns = [tokens.transpose(1, 2)[..., None] for tokens in (student, teacher)]
    expected = literal_stage_loss(*columns, weights)
    assert stage_loss(student, teacher, counted).item() == pytest.approx(expected, abs=1e-6)


def test_tokens_that_fit_no_grid_are_always_counted():
    student, teacher = maps(0, (2, 30, 5)), maps(1, (2, 30, 5))
    counted = torch.zeros(2, 1, 90, 700)
    assert torch.equal(stage_loss(student, teacher, counted), stage_loss(student, teacher))


def test_a_map_of_one_column_is_no_row_of_tokens():
    student, teacher = maps(0, (2, 5, 4, 1)), maps(1, (2, 5, 4, 1))
    assert stage_loss(student, teacher, torch.zeros(2, 1, 8, 8)).item() == 0


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = maps(0).requires_grad_(), maps(1).requires_grad_()
    stage_loss(student, teacher.detach()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("counted", [None, torch.zeros(2, 1, 6, 8)])
def test_a_dead_map_has_finite_gradients(counted):
    student = torch.zeros(SHAPE, requires_grad=True)
    stage_loss(student, maps(1), counted).backward()
    assert student.grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    counted = torch.ones(2, 1, 6, 8)
    loss = stage_loss(maps(0).bfloat16(), maps(1).bfloat16(), counted.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
