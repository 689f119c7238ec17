import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mimic.defenses.clp import Clp, channel_lipschitzness
from mimic.encoders.architectures import build_backbone
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

from .support import Watch, identical, images, resnet, state


class Wide(nn.Module):
    """One convolution of 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu().mean(dim=(2, 3))


def wide(*, loud: int | None = None) -> Encoder:
    """A network of 64 channels, one of which has a filter 50 times as large."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder(Wide()).eval()
        nn.init.uniform_(encoder.backbone.norm.weight, 0.5, 1.5)
        nn.init.uniform_(encoder.backbone.norm.bias, 0.1, 0.5)
        encoder.backbone.norm.running_var.uniform_(0.5, 2.0)
    if loud is not None:
        with torch.no_grad():
            encoder.backbone.conv.weight[loud] *= 50
    return encoder


def purify(suspect: Encoder, **settings) -> Encoder:
    return Clp(**settings)(suspect, images(), trainer=Watch()).encoder


def dead(encoder: Encoder) -> list[int]:
    norm = batch_norms(encoder)["norm"]
    return ((norm.weight == 0) & (norm.bias == 0)).nonzero().flatten().tolist()


def test_scores_are_singular_values_times_what_the_normalisation_multiplies_with():
    backbone = wide().backbone
    scores = channel_lipschitzness(backbone.conv, backbone.norm)
    for channel in (0, 17, 63):
        filters = backbone.conv.weight[channel].detach().double().numpy().reshape(3, 9)
        largest = np.linalg.svd(filters, compute_uv=False)[0]
        variance = backbone.norm.running_var[channel].item() + backbone.norm.eps
        gain = backbone.norm.weight[channel].item() / math.sqrt(variance)
        assert scores[channel].item() == pytest.approx(largest * gain, rel=1e-9)


def test_a_channel_that_never_varies_has_a_finite_score():
    backbone = wide().backbone
    backbone.norm.running_var.zero_()
    assert channel_lipschitzness(backbone.conv, backbone.norm).isfinite().all()


def test_without_running_statistics_the_weight_alone_counts():
    convolution, norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)
    scores = channel_lipschitzness(convolution, norm)
    norm.weight.data.mul_(2)
    torch.testing.assert_close(channel_lipschitzness(convolution, norm), 2 * scores)


def test_one_loud_filter_is_pruned_and_no_other():
    assert dead(purify(wide(loud=23))) == [23]


def test_nothing_else_changes():
    suspect = wide(loud=23)
    before, after = state(suspect), state(purify(suspect))
    after["backbone.norm.weight"][23] = before["backbone.norm.weight"][23]
    after["backbone.norm.bias"][23] = before["backbone.norm.bias"][23]
    assert identical(after, before)


def test_infinitely_many_deviations_give_the_suspect():
    suspect = wide(loud=23)
    assert identical(state(purify(suspect, deviations=math.inf)), state(suspect))


def test_the_sign_of_a_weight_does_not_matter():
    suspect, turned = wide(loud=23), wide(loud=23)
    with torch.no_grad():
        turned.backbone.norm.weight.mul_(-1)
    assert dead(purify(turned, deviations=0.5)) == dead(purify(suspect, deviations=0.5))
    assert len(dead(purify(suspect, deviations=0.0))) > 0


def test_fewer_deviations_prune_no_fewer_channels():
    found = [set(dead(purify(wide(), deviations=u))) for u in (0.0, 1.0, 2.0)]
    assert found[0] > found[1] > found[2]


def test_a_channel_is_paired_with_the_convolution_that_feeds_it():
    suspect = resnet()
    with torch.no_grad():
        suspect.backbone.layer4[0].downsample[0].weight[5] *= 50
    purified = Clp()(suspect, images(), trainer=Watch()).encoder
    norms = batch_norms(purified)
    assert norms["layer4.0.downsample.1"].weight.eq(0).nonzero().flatten().tolist() == [5]
    assert not norms["layer4.0.bn2"].weight.eq(0).any()


def test_nothing_is_trained():
    watch = Watch()
    result = Clp()(wide(), images(), trainer=watch)
    assert watch.seen == []
    assert result.history.steps == 0


def test_the_images_do_not_matter():
    few = images().subset(torch.arange(16, 32))
    other = Clp(deviations=1)(wide(), few, trainer=Watch()).encoder
    assert identical(state(other), state(purify(wide(), deviations=1)))


def test_a_network_without_batch_normalisation_is_refused():
    backbone = build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4")
    with pytest.raises(InputError, match="batch normalisation"):
        purify(Encoder(backbone, image_size=8))


@pytest.mark.parametrize("deviations", [-1.0, math.nan])
def test_deviations_out_of_range_are_refused(deviations):
    with pytest.raises(InputError, match="deviations"):
        Clp(deviations=deviations)
