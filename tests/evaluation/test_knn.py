"""Weighted nearest neighbours against a slow recomputation."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.evaluation import knn
from mimic.evaluation.heads import predict
from mimic.evaluation.knn import NearestNeighbours, fit_knn


def points(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 5, generator=generator), dim=1)


BANK = points(60, seed=0)
LABELS = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(1))
QUERIES = points(40, seed=2)


def slow_prediction(query: Tensor, k: int, temperature: float) -> int:
    similarities = sorted(
        (float(query.double() @ row.double()), int(label))
        for row, label in zip(BANK, LABELS, strict=True)
    )[-k:]
    votes = [0.0] * 4
    for similarity, label in similarities:
        votes[label] += math.exp(similarity / temperature)
    return votes.index(max(votes))


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.5), (10, 0.5), (60, 0.07), (25, 5.0)])
def test_predictions_are_those_of_a_slow_recomputation(k, temperature):
    expected = [slow_prediction(query, k, temperature) for query in QUERIES]
    head = fit_knn(BANK, LABELS, k=k, temperature=temperature)
    assert predict(head, QUERIES).tolist() == expected


def test_the_bank_finds_itself():
    assert torch.equal(predict(fit_knn(BANK, LABELS, k=1), BANK), LABELS)


def test_more_neighbours_than_the_bank_has_are_all_of_it():
    every = fit_knn(BANK, LABELS, k=60)(QUERIES)
    assert torch.equal(fit_knn(BANK, LABELS, k=200)(QUERIES), every)


def test_chunks_do_not_change_the_scores(monkeypatch):
    whole = fit_knn(BANK, LABELS)(QUERIES)
    monkeypatch.setattr(knn, "_SIMILARITIES_AT_ONCE", 7 * len(BANK))
    assert torch.allclose(fit_knn(BANK, LABELS)(QUERIES), whole)


def test_a_tiny_temperature_does_not_overflow():
    scores = fit_knn(BANK, LABELS, temperature=1e-4)(QUERIES)
    assert bool(scores.isfinite().all())
    assert torch.equal(scores.argmax(1), LABELS[(QUERIES @ BANK.T).argmax(1)])


def test_the_length_of_features_in_the_bank_does_not_matter():
    scaled = BANK * torch.linspace(0.1, 9, len(BANK))[:, None]
    assert torch.allclose(fit_knn(scaled, LABELS)(QUERIES), fit_knn(BANK, LABELS)(QUERIES))


@pytest.mark.parametrize(
    ("settings", "word"), [({"k": 0}, "neighbours"), ({"temperature": 0.0}, "temperature")]
)
def test_a_setting_out_of_range_is_refused(settings, word):
    with pytest.raises(InputError, match=word):
        NearestNeighbours(BANK, LABELS, **settings)
