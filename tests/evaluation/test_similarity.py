import pytest
import torch

from mimic.evaluation.similarity import crossed_cosine, paired_cosine

AXES = torch.eye(3)


def test_paired_features_are_compared_row_by_row():
    assert paired_cosine(AXES, AXES[[0, 2, 1]]) == pytest.approx(1 / 3)


def test_crossed_features_are_compared_with_all_others():
    assert crossed_cosine(AXES, AXES[:2]) == pytest.approx(2 / 6)
