import pytest
import torch

from mimic.detection.penalty import MaskPenalty
from mimic.errors import InputError


def weights_after(successes: list[bool], penalty: MaskPenalty) -> list[float]:
    """The weight after each step of one trigger."""
    weight, streak = torch.tensor([penalty.start]), torch.zeros(1, dtype=torch.int64)
    found = []
    for success in successes:
        weight, streak = penalty.adapt(weight, streak, torch.tensor([success]))
        found.append(weight.item())
    return found


def test_the_weight_rises_after_more_successes_in_a_row_than_the_patience():
    found = weights_after([True] * 7, MaskPenalty(start=1.0, patience=2, raised_by=4))
    assert found == [1, 1, 4, 4, 4, 16, 16]


def test_the_weight_falls_after_more_failures_in_a_row_than_the_patience():
    found = weights_after([False] * 6, MaskPenalty(start=1.0, patience=2, lowered_by=4, least=0.01))
    assert found == [1, 1, 0.25, 0.25, 0.25, 0.0625]


def test_a_failure_interrupts_a_row_of_successes():
    found = weights_after([True, True, False, True, True], MaskPenalty(start=1.0, patience=2))
    assert found == [1] * 5


def test_a_weight_below_the_least_is_lowered_no_more():
    penalty = MaskPenalty(start=1.0, patience=0, lowered_by=4, least=0.2)
    assert weights_after([False] * 3, penalty) == [0.25, 0.0625, 0.0625]


def test_a_weight_above_the_most_is_raised_no_more():
    penalty = MaskPenalty(start=1.0, patience=0, raised_by=4, most=3.0)
    assert weights_after([True] * 3, penalty) == [4, 4, 4]


def test_triggers_have_weights_of_their_own():
    weight, streak = torch.ones(2), torch.zeros(2, dtype=torch.int64)
    penalty = MaskPenalty(patience=0, raised_by=2, lowered_by=2)
    assert penalty.adapt(weight, streak, torch.tensor([True, False]))[0].tolist() == [2, 0.5]


@pytest.mark.parametrize(
    "settings",
    [{"start": 0.0}, {"start": float("nan")}, {"raised_by": 0.5}, {"lowered_by": 0.5}],
)
def test_factors_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match="must start above 0"):
        MaskPenalty(**settings)


def test_a_negative_patience_is_refused():
    with pytest.raises(InputError, match="patience"):
        MaskPenalty(patience=-1)
