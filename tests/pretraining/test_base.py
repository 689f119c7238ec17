import torch
from torch import nn

from mimic.pretraining.base import TwoViews

from .support import given


class Bare(TwoViews):
    def forward(self, batch):
        return {"nothing": batch.sum()}


def test_first_views_come_first(digits):
    objective = Bare({"encoder": given()}, digits.size, min_scale=0.2)
    objective.augment = nn.Identity()
    batch = digits.batch(torch.arange(3))
    assert torch.equal(objective.views(batch), torch.cat([batch, batch]) / 255)


def test_both_views_of_an_image_are_random(digits):
    objective = Bare({"encoder": given()}, digits.size, min_scale=0.2)
    first, second = objective.views(digits.batch(torch.arange(3))).chunk(2)
    assert not torch.allclose(first, second)


def test_the_encoder_is_the_one_that_is_trained(digits):
    encoder = given()
    assert Bare({"encoder": encoder}, digits.size, min_scale=0.2).encoder is encoder
