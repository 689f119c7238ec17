import pytest
import torch
from torch import Tensor, nn

from mimic.defenses.channels import normalized_convolutions, outliers, prune, silent_channels
from mimic.encoders.architectures import build_backbone
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.checks import count_hooks
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

from .support import identical, images, resnet, state


class Crossed(nn.Module):
    """Two branches whose modules are registered in another order than they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_b, self.norm_a = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.conv_a, self.conv_b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.alone = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        images = self.alone(images)
        both = self.norm_a(self.conv_a(images)) + self.norm_b(self.conv_b(images))
        return both.mean(dim=(2, 3))


def token_model() -> Encoder:
    return Encoder(build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4"), image_size=8)


def test_pairs_follow_the_tensors_not_the_order_of_modules():
    pairs = normalized_convolutions(Encoder(Crossed()), images().tensor())
    assert {(pair.convolution, pair.norm) for pair in pairs} == {
        ("conv_a", "norm_a"),
        ("conv_b", "norm_b"),
    }


def test_every_convolution_of_a_resnet_is_normalised():
    encoder = resnet()
    pairs = normalized_convolutions(encoder, images().tensor())
    convolutions = [n for n, m in encoder.backbone.named_modules() if isinstance(m, nn.Conv2d)]
    assert sorted(pair.convolution for pair in pairs) == sorted(convolutions)


def test_looking_changes_nothing():
    encoder, untouched = resnet(), resnet()
    normalized_convolutions(encoder, images().tensor())
    assert identical(state(encoder), state(untouched))
    assert count_hooks(encoder) == 0
    assert [m.training for m in encoder.modules()] == [m.training for m in untouched.modules()]


def test_a_pruned_channel_puts_out_zero():
    encoder = resnet().eval()
    off = torch.tensor([False, True, False, True])
    prune(encoder, {"bn1": off})
    output = encoder.backbone.bn1(torch.randn(2, 4, 5, 5))
    assert (output[:, off] == 0).all()
    assert (output[:, ~off] != 0).any()


def test_pruning_touches_nothing_else():
    encoder, before = resnet(), state(resnet())
    prune(encoder, {"bn1": torch.tensor([True, False, False, False])})
    changed = {k for k, v in state(encoder).items() if not torch.equal(v, before[k])}
    assert changed <= {"backbone.bn1.weight", "backbone.bn1.bias"}


@pytest.mark.parametrize("look", [batch_norms, lambda e: normalized_convolutions(e, PIXELS)])
def test_a_network_without_batch_normalisation_is_refused(look):
    with pytest.raises(InputError, match="batch normalisation"):
        look(token_model())


PIXELS = torch.zeros(1, 3, 8, 8)


def test_a_score_far_out_is_an_outlier():
    scores = torch.zeros(64)
    scores[7] = 50.0
    assert outliers(scores, 3.0).nonzero().flatten().tolist() == [7]


def test_ten_channels_are_too_few_for_three_deviations():
    scores = torch.zeros(10)
    scores[0] = 1e6
    assert not outliers(scores, 3.0).any()


def test_one_channel_is_never_an_outlier():
    assert not outliers(torch.ones(1), 0.0).any()


def test_silent_channels_are_counted():
    encoder = resnet()
    before = silent_channels(encoder)
    prune(encoder, {"bn1": torch.tensor([True, False, False, True])})
    assert silent_channels(encoder) - before == 2


def test_a_network_without_batch_normalisation_has_no_silent_channel():
    assert silent_channels(token_model()) == 0
