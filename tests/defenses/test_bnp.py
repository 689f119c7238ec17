import math
from functools import reduce
from operator import add

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from mimic.defenses.bnp import Bnp, divergence
from mimic.encoders.architectures import build_backbone
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.checks import count_hooks
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.moments import Moments, input_moments

from .support import Watch, identical, images, resnet, state


class Wide(nn.Module):
    """One convolution of 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu().mean(dim=(2, 3))


def wide() -> Encoder:
    """An encoder whose running statistics are exactly those of the images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder(Wide()).eval()
    nn.init.constant_(encoder.backbone.norm.bias, 0.5)
    moments = input_moments(encoder, images(), Watch())["norm"]
    encoder.backbone.norm.running_mean.copy_(moments.mean)
    encoder.backbone.norm.running_var.copy_(moments.variance)
    return encoder


def shifted(channel: int) -> Encoder:
    """The same with one running mean ten standard deviations away."""
    encoder = wide()
    norm = encoder.backbone.norm
    norm.running_mean[channel] += 10 * norm.running_var[channel].sqrt()
    return encoder


def statistics(seed: int, channels: int = 5) -> tuple[Moments, nn.BatchNorm2d]:
    generator = torch.Generator().manual_seed(seed)
    norm = nn.BatchNorm2d(channels, eps=1e-12)
    norm.running_mean.copy_(torch.randn(channels, generator=generator))
    norm.running_var.copy_(torch.rand(channels, generator=generator) + 0.1)
    values = torch.randn(2, channels, generator=generator, dtype=torch.float64)
    return Moments(count=9, mean=values[0], variance=values[1].exp()), norm


def reference(clean: Moments, norm: nn.BatchNorm2d) -> Tensor:
    own = Normal(clean.mean, clean.variance.sqrt())
    return kl_divergence(own, Normal(norm.running_mean.double(), norm.running_var.double().sqrt()))


def dead(encoder: Encoder) -> list[int]:
    norm = batch_norms(encoder)["norm"]
    return ((norm.weight == 0) & (norm.bias == 0)).nonzero().flatten().tolist()


def purify(suspect: Encoder, **settings) -> Encoder:
    return Bnp(**settings)(suspect, images(), trainer=Watch()).encoder


def test_moments_of_parts_add_up_to_those_of_the_whole():
    values = torch.randn(12, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    parts = [Moments.of(part) for part in values.split([1, 4, 7])]
    total, whole = reduce(add, parts), values.double().transpose(0, 1).flatten(1)
    assert total.count == 12 * 4 * 5
    torch.testing.assert_close(total.mean, whole.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(total.variance, whole.var(1, correction=0), rtol=1e-5, atol=1e-6)


def test_features_without_positions_have_moments_too():
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    moments = Moments.of(values)
    assert moments.mean.tolist() == [2.0, 4.0]
    assert moments.variance.tolist() == [1.0, 4.0]


def test_moments_are_of_what_comes_into_each_normalisation():
    encoder = wide()
    maps = encoder.backbone.conv(images().tensor() / 255).double()
    moments = input_moments(encoder, images(), Watch())["norm"]
    torch.testing.assert_close(moments.mean, maps.mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
    variance = maps.var((0, 2, 3), correction=0)
    torch.testing.assert_close(moments.variance, variance, rtol=1e-4, atol=1e-7)


def test_every_normalisation_is_looked_at_and_no_hook_stays():
    encoder = resnet()
    before = state(encoder)
    assert input_moments(encoder, images(), Watch()).keys() == batch_norms(encoder).keys()
    assert count_hooks(encoder) == 0
    assert identical(state(encoder), before)


def test_the_divergence_is_that_of_two_gaussians():
    clean, norm = statistics(0)
    torch.testing.assert_close(divergence(clean, norm), reference(clean, norm))


def test_as_coded_the_logarithm_counts_twice():
    clean, norm = statistics(0)
    once_more = 0.5 * (norm.running_var.double() / clean.variance).log()
    torch.testing.assert_close(
        divergence(clean, norm, as_coded=True), reference(clean, norm) + once_more
    )


def test_as_coded_ranks_can_differ():
    clean, norm = statistics(0, channels=64)
    found = [divergence(clean, norm, as_coded=coded).argsort().tolist() for coded in (False, True)]
    assert found[0] != found[1]


def test_equal_statistics_do_not_diverge():
    _, norm = statistics(1)
    clean = Moments(count=9, mean=norm.running_mean.double(), variance=norm.running_var.double())
    assert divergence(clean, norm).tolist() == [0.0] * 5


def test_a_channel_that_never_varies_diverges_by_a_finite_amount():
    norm = nn.BatchNorm2d(2)
    still = Moments(count=9, mean=torch.zeros(2).double(), variance=torch.zeros(2).double())
    assert divergence(still, norm).isfinite().all()


def test_without_running_statistics_nothing_diverges():
    clean, _ = statistics(0)
    norm = nn.BatchNorm2d(5, track_running_stats=False)
    assert divergence(clean, norm).tolist() == [0.0] * 5


@pytest.mark.parametrize("as_coded", [False, True])
def test_a_shifted_running_mean_is_pruned_alone(as_coded):
    assert dead(purify(shifted(23), as_coded=as_coded)) == [23]


def test_nothing_else_changes():
    suspect = shifted(23)
    before, after = state(suspect), state(purify(suspect))
    after["backbone.norm.weight"][23] = before["backbone.norm.weight"][23]
    after["backbone.norm.bias"][23] = before["backbone.norm.bias"][23]
    assert identical(after, before)


def test_infinitely_many_deviations_give_the_suspect():
    suspect = shifted(23)
    assert identical(state(purify(suspect, deviations=math.inf)), state(suspect))


def test_nothing_is_trained():
    watch = Watch()
    result = Bnp()(wide(), images(), trainer=watch)
    assert watch.seen == []
    assert result.history.steps == 0


def test_a_network_without_batch_normalisation_is_refused():
    backbone = build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4")
    with pytest.raises(InputError, match="batch normalisation"):
        purify(Encoder(backbone, image_size=8))


@pytest.mark.parametrize("deviations", [-1.0, math.nan])
def test_deviations_out_of_range_are_refused(deviations):
    with pytest.raises(InputError, match="deviations"):
        Bnp(deviations=deviations)
