"""Counts of hits against a hand-made table."""

import pytest
import torch
from torch import Tensor

from mimic.evaluation.intervals import wilson_interval
from mimic.evaluation.judging import Evaluation, Hits, Judgement, count_hits, evaluation_of

# rows: true class; columns: what triggered images of it are predicted; target class 1
CONFUSION = torch.tensor([[7, 3, 2], [1, 5, 4], [0, 6, 9]])


def confusion_lists() -> tuple[Tensor, Tensor]:
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    labels, predictions = cells.repeat_interleave(CONFUSION.flatten(), dim=0).T
    return predictions, labels


def test_success_rates_agree_with_a_confusion_table():
    hits = count_hits(*confusion_lists(), target=1)
    assert hits.rate == (3 + 6) / (12 + 15)
    assert hits.rate_all == (3 + 5 + 6) / 37


def test_the_rate_over_all_follows_from_the_rate_without_the_target_class():
    predictions, labels = confusion_lists()
    hits = count_hits(predictions, labels, target=1)
    share = float((labels == 1).double().mean())
    own = float((predictions[labels == 1] == 1).double().mean())
    assert hits.rate_all == pytest.approx((1 - share) * hits.rate + share * own)


def judged(correct: int, hits: int | None) -> Judgement:
    found = None if hits is None else Hits(hits, 40, hits + 5, 50)
    return Judgement(correct=correct, images=50, hits=found)


def evaluation(judgements: dict[int, Judgement]) -> Evaluation:
    return evaluation_of(judgements, n_train=10, probe="mlp", seconds=6.0)


def test_rates_are_the_means_of_the_heads():
    mean = evaluation({3: judged(20, 40), 4: judged(30, 0), 5: judged(40, 20)})
    assert mean.accuracy == pytest.approx(0.6)
    assert mean.attack_success_rate == pytest.approx(0.5)
    assert mean.attack_success_rate_all == pytest.approx(0.5)
    assert mean.accuracy_ci95 == wilson_interval(30, 50)
    assert mean.attack_success_rate_ci95 == wilson_interval(20, 40)
    assert (mean.seed, mean.n_test, mean.n_triggered) == (3, 50, 40)
    assert [(one.seed, one.accuracy, one.attack_success_rate) for one in mean.heads] == [
        (3, 0.4, 1.0),
        (4, 0.6, 0.0),
        (5, 0.8, 0.5),
    ]


def test_without_a_trigger_no_head_has_a_success_rate():
    mean = evaluation({0: judged(20, None), 1: judged(30, None)})
    assert mean.accuracy == pytest.approx(0.5)
    assert mean.attack_success_rate is None
    assert mean.attack_success_rate_ci95 is None
    assert mean.n_triggered is None
    assert [one.attack_success_rate for one in mean.heads] == [None, None]
