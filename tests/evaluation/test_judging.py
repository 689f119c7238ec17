"""Counts of hits against a hand-made table."""

import pytest
import torch
from torch import Tensor

from mimic.evaluation.judging import count_hits

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
