import torch

from mimic.pretraining.heads import deep_head, plain_head, projection_head


def shapes(head):
    return [tuple(parameter.shape) for parameter in head.parameters()]


def test_the_hidden_layer_is_as_wide_as_the_feature():
    assert shapes(projection_head(12)) == [(12, 12), (12,), (12,), (128, 12), (128,)]


def test_widths_can_be_set():
    head = projection_head(12, hidden=7, outputs=5)
    assert shapes(head) == [(7, 12), (7,), (7,), (5, 7), (5,)]


def test_features_become_projections():
    assert projection_head(12, outputs=5)(torch.rand(4, 12)).shape == (4, 5)


def test_the_plain_head_treats_every_row_alone():
    head, rows = plain_head(12, outputs=5).train(), torch.rand(4, 12)
    torch.testing.assert_close(head(rows)[:1], head(rows[:1]))


def test_the_plain_head_has_two_layers_with_biases():
    assert shapes(plain_head(12, outputs=5)) == [(12, 12), (12,), (5, 12), (5,)]


def test_projections_of_the_deep_head_are_standardised():
    projections = deep_head(12, outputs=5).train()(torch.rand(64, 12))
    torch.testing.assert_close(projections.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(projections.var(0, correction=0), torch.ones(5), atol=0.01, rtol=0)


def test_the_deep_head_has_three_layers_and_no_scale_at_the_end():
    norm = [(12,), (12,)]
    assert shapes(deep_head(12, outputs=5)) == [(12, 12), *norm, (12, 12), *norm, (5, 12)]
