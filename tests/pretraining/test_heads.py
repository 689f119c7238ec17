import torch

from mimic.pretraining.heads import projection_head


def shapes(head):
    return [tuple(parameter.shape) for parameter in head.parameters()]


def test_the_hidden_layer_is_as_wide_as_the_feature():
    assert shapes(projection_head(12)) == [(12, 12), (12,), (12,), (128, 12), (128,)]


def test_widths_can_be_set():
    head = projection_head(12, hidden=7, outputs=5)
    assert shapes(head) == [(7, 12), (7,), (7,), (5, 7), (5,)]


def test_features_become_projections():
    assert projection_head(12, outputs=5)(torch.rand(4, 12)).shape == (4, 5)
