import math

import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.published import (
    BatchesOfPairs,
    published_estimate,
    published_localize,
    shuffled_donsker_varadhan,
)
from mimic.information.samplers import correlated_gaussian
from mimic.training import Trainer

CPU = Trainer(device="cpu")


class Sum(nn.Module):
    def forward(self, x, y):
        return (x * y).sum(dim=1)


def test_the_value_agrees_with_the_published_formula():
    torch.manual_seed(0)
    x, y = torch.randn(2, 9, 3)
    torch.manual_seed(1)
    shuffled = y[torch.randperm(9)]
    expected = (x * y).sum(1).mean() - (x * shuffled).sum(1).exp().mean().log()
    torch.manual_seed(1)
    torch.testing.assert_close(shuffled_donsker_varadhan(Sum(), x, y), expected)


def test_the_value_is_finite_where_the_published_formula_overflows():
    x = torch.full((4, 1), 1e4)
    assert shuffled_donsker_varadhan(Sum(), x, torch.ones(4, 1)).isfinite()


def test_batches_keep_their_composition_and_the_last_one_is_smaller():
    data = BatchesOfPairs(torch.arange(300).view(-1, 1), torch.arange(300).view(-1, 1))
    sizes = [len(data.batch(torch.tensor([index]))[0]) for index in range(len(data))]
    assert sizes == [128, 128, 44]


def test_a_finished_estimate_is_read_back_when_resumed(tmp_path):
    sample = correlated_gaussian(0.7, samples=300)
    runs = [
        published_estimate(
            sample.x,
            sample.y,
            epochs=3,
            trainer=Trainer(device="cpu", folder=tmp_path, resume=resume),
        )
        for resume in (False, True)
    ]
    assert runs[0] == runs[1]


def test_the_last_ten_epochs_are_averaged():
    sample = correlated_gaussian(0.7, samples=200)
    assert len(published_estimate(sample.x, sample.y, epochs=12, trainer=CPU).folds) == 10


def test_fewer_than_ten_epochs_are_all_averaged():
    sample = correlated_gaussian(0.7, samples=200)
    assert len(published_estimate(sample.x, sample.y, epochs=3, trainer=CPU).folds) == 3


def test_it_finds_information_between_independent_variables():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 256, 64, generator=generator)
    assert published_estimate(x, y, epochs=25, trainer=CPU).nats > 0.5


def test_it_is_never_negative():
    sample = correlated_gaussian(0.0, samples=130)
    assert min(published_estimate(sample.x, sample.y, epochs=2, trainer=CPU).folds) >= 0


def test_all_stages_are_localized_and_the_weights_sum_to_one():
    encoder = Encoder(build_backbone("resnet10:width=4,stem_stride=2"), stages=("layer1", "layer2"))
    images = ImageSet.from_tensor(torch.randint(0, 256, (30, 3, 8, 8), dtype=torch.uint8))
    found = published_localize(encoder, images, epochs=2, trainer=CPU)
    assert list(found.weights) == ["layer1", "layer2"]
    assert math.fsum(found.weights.values()) == pytest.approx(1)


def test_zero_epochs_are_refused():
    with pytest.raises(InputError, match="1 epoch or more, not 0"):
        published_estimate(torch.zeros(9, 1), torch.zeros(9, 1), epochs=0)


def test_samples_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="as many samples in both"):
        published_estimate(torch.zeros(9, 1), torch.zeros(8, 1))
