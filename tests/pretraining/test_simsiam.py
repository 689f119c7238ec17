import pytest
import torch
from torch.nn import functional as F

from mimic.pretraining.simsiam import SimSiam, SimSiamObjective

from .support import given


@pytest.fixture
def simsiam(digits) -> SimSiamObjective:
    return SimSiamObjective(given(), digits.size).eval()


@pytest.fixture
def views(simsiam, digits) -> torch.Tensor:
    """Six images and, as their second views, six others."""
    images = digits.tensor()[:12] / 255
    simsiam.views = lambda _: images
    return images


def test_the_term_is_one_minus_the_mean_cosine_of_both_ways(simsiam, views, digits):
    projections = simsiam.learner["projector"](simsiam.encoder(views))
    predictions = simsiam.learner["predictor"](projections).double()
    (p1, p2), (z1, z2) = predictions.chunk(2), projections.double().chunk(2)
    cosines = F.cosine_similarity(p1, z2).mean() + F.cosine_similarity(p2, z1).mean()
    term = simsiam(digits.tensor()[:6])["prediction"]
    assert term.item() == pytest.approx(1 - cosines.item() / 2, rel=1e-5)


def test_gradients_flow_through_the_predictions_alone(simsiam, views, digits):
    weight = simsiam.encoder.backbone.conv1.weight
    (actual,) = torch.autograd.grad(simsiam(digits.tensor()[:6])["prediction"], weight)
    projections = simsiam.learner["projector"](simsiam.encoder(views))
    constants = torch.tensor(projections.roll(6, 0).tolist())
    predictions = simsiam.learner["predictor"](projections)
    loss = 1 - F.cosine_similarity(predictions, constants).mean()
    (expected,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(actual, expected)


def test_the_heads_have_the_published_widths(simsiam):
    projector, predictor = simsiam.learner["projector"], simsiam.learner["predictor"]
    assert projector[-1].num_features == 2048
    assert tuple(predictor[0].weight.shape) == (512, 2048)


def test_it_is_trained_by_sgd_along_a_cosine():
    plan = SimSiam().plan()
    assert (plan.optimizer, plan.momentum, plan.schedule) == ("sgd", 0.9, "cosine")
