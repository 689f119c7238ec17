import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mimic.defenses.permutation import (
    assignment,
    correlations,
    matched,
    permutable_groups,
    permute,
)
from mimic.encoders.architectures import build_backbone
from mimic.encoders.checks import count_hooks
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import tap
from mimic.errors import InputError

from .support import OwnNetwork, Watch, identical, images, resnet, state


class Pair(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between: nn.Module, channels: int = 4, groups: int = 1) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, channels, 3)
        self.between = between
        self.two = nn.Conv2d(channels, 4, 3, groups=groups)

    def forward(self, images):
        return self.two(self.between(self.one(images))).mean(dim=(2, 3))


class Branching(Pair):
    """What lies between two convolutions also reaches the output."""

    def forward(self, images):
        inner = F.relu(self.one(images))
        return self.two(inner).mean(dim=(2, 3)) + inner.mean(dim=(2, 3))


class Repeating(Pair):
    """A convolution that runs twice."""

    def forward(self, images):
        inner = F.relu(self.two(F.relu(self.one(images))))
        return self.two(inner).mean(dim=(2, 3))


class Gated(nn.Module):
    """A function that works channel by channel, but not the same on all channels."""

    def forward(self, maps):
        return maps * torch.arange(maps.shape[1])[:, None, None]


def example():
    return images().tensor()


def producers(backbone: nn.Module) -> set[str]:
    return {group.producer for group in permutable_groups(Encoder(backbone), example())}


def shuffled(encoder: Encoder):
    """A copy with its inner channels in random order, and those orders."""
    groups = permutable_groups(encoder, example())
    generator = torch.Generator().manual_seed(5)
    orders = {g.producer: torch.randperm(g.channels, generator=generator) for g in groups}
    copy = encoder.copy()
    permute(copy, groups, orders)
    return copy, groups, orders


def test_inner_channels_of_residual_blocks_are_permutable():
    found = permutable_groups(resnet(), example())
    assert {(g.producer, g.carriers, g.consumer, g.channels) for g in found} == {
        (f"layer{i}.0.conv1", (f"layer{i}.0.bn1",), f"layer{i}.0.conv2", 4 * 2 ** (i - 1))
        for i in (1, 2, 3, 4)
    }


def test_both_inner_widths_of_a_bottleneck_are_permutable():
    found = producers(build_backbone("resnet50:width=2"))
    blocks = [(i, j) for i, depth in enumerate((3, 4, 6, 3), 1) for j in range(depth)]
    assert found == {f"layer{i}.{j}.conv{k}" for (i, j) in blocks for k in (1, 2)}


def test_the_last_convolution_of_a_chain_is_not_permutable():
    assert producers(OwnNetwork()) == {"first.0"}


def test_a_depthwise_convolution_moves_with_its_channels():
    between = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU())
    (group,) = permutable_groups(Encoder(Pair(between)), example())
    assert group.carriers == ("between.0", "between.1")


@pytest.mark.parametrize(
    "backbone",
    [
        Branching(nn.Identity()),
        Repeating(nn.Identity()),
        Pair(nn.GroupNorm(2, 4)),
        Pair(Gated()),
        Pair(nn.ReLU(), groups=2),
        Pair(nn.ReLU(), channels=1),
        build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4"),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    ],
    ids=["branch", "repeat", "groups", "gate", "grouped", "one", "tokens", "no weights"],
)
def test_a_network_without_permutable_channels_is_refused(backbone):
    with pytest.raises(InputError, match="no channels can be permuted"):
        permutable_groups(Encoder(backbone), example())


def test_looking_changes_nothing():
    encoder, untouched = resnet(), resnet()
    permutable_groups(encoder, example())
    assert identical(state(encoder), state(untouched))
    assert count_hooks(encoder) == 0
    assert [p.requires_grad for p in encoder.parameters()] == [
        p.requires_grad for p in untouched.parameters()
    ]


def test_a_permuted_network_computes_the_same_features():
    encoder = resnet().eval()
    copy, _, _ = shuffled(encoder)
    with torch.no_grad():
        assert (copy(example()) - encoder(example())).abs().max() < 1e-4


def test_a_permuted_network_has_other_weights():
    changed, before = state(shuffled(resnet())[0]), state(resnet())
    found = {key for key in before if not torch.equal(before[key], changed[key])}
    assert {"backbone.layer4.0.conv1.weight", "backbone.layer4.0.conv2.weight"} <= found
    assert not found & {"backbone.conv1.weight", "backbone.layer4.0.bn2.weight"}


def test_the_most_similar_matching_recovers_the_original_order():
    encoder = resnet().eval()
    copy, groups, _ = shuffled(encoder)
    found = matched(copy, encoder, groups, images(), maximize=True, trainer=Watch())
    assert identical(state(found), state(encoder))


def test_matching_leaves_the_encoder_that_moves_as_it_is():
    encoder = resnet().eval()
    copy, groups, _ = shuffled(encoder)
    before = state(copy)
    matched(copy, encoder, groups, images(), maximize=True, trainer=Watch())
    assert identical(state(copy), before)


def test_the_least_similar_matching_lowers_the_mean_correlation():
    encoder = resnet().eval()
    groups = permutable_groups(encoder, example())
    twin = matched(encoder, encoder, groups, images(), maximize=False, trainer=Watch())
    for other, low in ((encoder, 0.9), (twin, -1.0)):
        found = correlations(encoder, other, groups, images(), trainer=Watch())
        means = [c.diagonal().mean().item() for c in found.values()]
        assert all(low <= mean for mean in means)
        assert other is encoder or max(means) < 0.5


def test_correlations_are_those_of_the_formula_whatever_the_batches():
    first, second = resnet().eval(), shuffled(resnet().eval())[0]
    groups = permutable_groups(first, example())
    many = images(100)
    found = correlations(first, second, groups, many, trainer=Watch())["layer2.0.conv1"]
    rows = []
    for encoder in (first, second):
        with tap(encoder.backbone, ["layer2.0.conv1"]) as maps, torch.no_grad():
            encoder(many.tensor())
        rows.append(maps["layer2.0.conv1"].double().transpose(0, 1).flatten(1))
    centred = [r - r.mean(dim=1, keepdim=True) for r in rows]
    covariance = centred[0] @ centred[1].T / rows[0].shape[1]
    scale = torch.outer(*(r.std(dim=1, correction=0) for r in rows)) + 1e-4
    torch.testing.assert_close(found, covariance / scale, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("maximize", "best"), [(True, max), (False, min)])
def test_an_assignment_is_the_best_of_all_permutations(maximize, best):
    scores = torch.rand(4, 4, generator=torch.Generator().manual_seed(2)).double()
    order = assignment(scores, maximize=maximize)
    sums = [scores[range(4), list(p)].sum().item() for p in itertools.permutations(range(4))]
    assert scores[range(4), order].sum().item() == pytest.approx(best(sums))
